"""The configs of this repository, and how tests load them and build their models."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
FILES = sorted(CONFIGS.rglob("*.py"))
LEAVES = [path for path in FILES if "_base_" not in path.relative_to(CONFIGS).parts]
METHODS = sorted(path.parent for path in CONFIGS.glob("*/metafile.yml"))


def leaf_of(method: str, part: str) -> Path:
    """The leaf of a method with this part in its name."""
    (leaf,) = (CONFIGS / method).glob(f"*{part}*.py")
    return leaf


def load(leaf: Path, options: dict | None = None) -> Config:
    cfg = Config.fromfile(leaf)
    cfg.merge_from_dict(options or {})
    init_default_scope(cfg.default_scope)
    return cfg


def build_without_memory(cfg: Config) -> nn.Module:
    """The model in full size, on torch's meta device."""
    with torch.device("meta"):
        return MODELS.build(cfg.model)
