"""The position study with data of a few random arrays, and Runners that train it in seconds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from helpers import synthetic

PROJECT = Path(__file__).resolve().parents[2] / "projects" / "position_study"
CONFIGS = sorted((PROJECT / "configs").glob("*_*.py"))
# Channels, height and width of the images, the number of classes, and what is told of an image.
DATA = dict(
    garments=(1, 32, 32, 11, ("maps", "labels")),
    cells=(3, 48, 40, 3, ("maps",)),
    prompts=(1, 32, 64, 5, ("labels",)),
)
every_config = pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] if "instances" in path.stem else [])
        for path in CONFIGS
    ],
    ids=lambda path: path.stem,
)


def write_data(folder: Path) -> None:
    """Files as `prepare.py` makes them, of six images in each part."""
    random = np.random.default_rng(0)
    for name, (channels, height, width, classes, targets) in DATA.items():
        arrays = dict(classes=np.array([f"class {index}" for index in range(classes)]))
        for part in ("training", "validation", "test"):
            shapes = dict(maps=(6, height, width), labels=(6,))
            images = random.integers(256, size=(6, channels, height, width), dtype=np.uint8)
            arrays[f"{part}_images"] = images
            for target in targets:
                most = classes if target == "maps" or name != "garments" else classes - 1
                arrays[f"{part}_{target}"] = random.integers(most, size=shapes[target]).astype("u1")
        np.savez(folder / f"{name}.npz", **arrays)


def small(path: Path, data: Path, work_dir: Path, kernel: dict | None = None) -> Config:
    """The config, with two steps on such data; kernel: of the backbone, in place of its own."""
    cfg = Config.fromfile(path)
    cfg.work_dir = str(work_dir)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.param_scheduler = []
    if kernel is not None:
        cfg.model.backbone.kernel = kernel
    if cfg.default_scope == "mmdet":
        cfg.merge_from_dict(synthetic.write_data(cfg, work_dir / "data"))
        cfg.model.test_cfg.rpn.update(nms_pre=20, max_per_img=20)
        cfg.train_dataloader.dataset.pipeline[3].scale = (96, 96)
        return cfg
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.file = str(data / Path(loader.dataset.file).name)
        loader.batch_size = min(loader.batch_size, 4)
    if "crop" in cfg.train_dataloader.dataset:
        cfg.train_dataloader.dataset.crop = (32, 32)
    return cfg


def build_model(cfg: Config, seed: int = 0) -> nn.Module:
    """As a Runner builds it and draws its weights."""
    init_default_scope(cfg.default_scope)
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model
