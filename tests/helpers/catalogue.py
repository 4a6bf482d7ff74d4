"""The configs of this repository, and how tests load them and build their models."""

from importlib import import_module
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmdcls.config import without_pretrained
from mmdcls.models.convolutions import built_without_values

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.py"))
LEAVES = [path for path in FILES if "_base_" not in path.relative_to(CONFIGS).parts]
# Those whose backbone is a network of others, converted by a rule.
CONVERTED = [
    path for path in LEAVES if Config.fromfile(path).model.backbone.type == "mmdcls.Converted"
]
METHODS = sorted(path.parent for path in CONFIGS.glob("*/metafile.yml"))


def leaf_of(method: str, part: str) -> Path:
    """The leaf of a method with this part in its name."""
    (leaf,) = (CONFIGS / method).glob(f"*{part}*.py")
    return leaf


def skip_without(package: str) -> None:
    """Skip the test where an optional package does not import, for whatever reason."""
    try:
        import_module(package)
    except Exception as error:
        pytest.skip(f"needs {package}, which is optional: {type(error).__name__}: {error}")


def load(leaf: Path, options: dict | None = None) -> Config:
    """The config, with its scope the default, and nothing of timm's to be downloaded.

    Skips the test without mmpretrain, or timm, where the model is theirs.
    """
    cfg = without_pretrained(Config.fromfile(leaf))
    if cfg.default_scope == "mmpretrain":
        skip_without("mmpretrain")
    if cfg.model.backbone.get("network") == "TIMMBackbone":
        skip_without("timm")
    cfg.merge_from_dict(options or {})
    init_default_scope(cfg.default_scope)
    return cfg


def build_without_memory(cfg: Config) -> nn.Module:
    """The model in full size, on torch's meta device."""
    return built_without_values(cfg)
