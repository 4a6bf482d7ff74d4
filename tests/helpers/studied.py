"""A data set, a network and a metric for studies whose cells take a blink."""

import os
import signal
import time
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmdcls.study.cells import Cell, key_of

CLASSES = 3
CONFIG = """
custom_imports = dict(imports=["helpers.studied"], allow_failed_imports=False)
model = dict(
    type="Classified",
    backbone=dict(
        type="mmdcls.DclsConvNeXt",
        arch=dict(depths=(1, 1, 1, 1), channels=(4, 4, 4, 4)),
        out_indices=(0,),
        kernel_size=9,
        kernel_count=4,
        layer_scale_init_value=1.0,
    ),
    head=dict(classes=3),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(type="ClassifiedNoise", seed=1),
    sampler=dict(type="InfiniteSampler"),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(type="ClassifiedNoise", seed=2),
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(type="ClassifiedNoise", seed=3),
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
val_evaluator = dict(type="Loss")
test_evaluator = dict(type="Loss")
train_cfg = dict(type="IterBasedTrainLoop", max_iters=2, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1e-2),
    constructor="mmdcls.DclsOptimWrapperConstructor",
    paramwise_cfg=dict(position_lr_mult=5.0),
)
custom_hooks = [dict(type="mmdcls.PositionHealth", interval=1)]
log_processor = dict(by_epoch=False)
"""


def write_config(path: Path, more: str = "") -> Path:
    path.write_text(CONFIG + more)
    return path


@DATASETS.register_module(force=True)
class ClassifiedNoise(Dataset):
    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.randn(8, 3, 32, 32, generator=generator)
        self.labels = torch.randint(CLASSES, (8,), generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.images[index], labels=self.labels[index])


@MODELS.register_module(force=True)
class Classified(BaseModel):
    def __init__(self, backbone: dict, head: ConfigDict) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        # As detectors read their settings.
        self.head = nn.Linear(4, head.classes)

    def forward(self, inputs: Tensor, labels: Tensor, mode: str = "loss") -> object:
        scores = self.head(self.backbone(inputs)[0].mean((2, 3)))
        losses = F.cross_entropy(scores, labels, reduction="none")
        return dict(loss=losses.mean()) if mode == "loss" else list(losses)


@METRICS.register_module(force=True)
class Loss(BaseMetric):
    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results += [float(loss) for loss in data_samples]

    def compute_metrics(self, results: list) -> dict:
        # Of mmseg's type.
        return dict(loss=np.float32(sum(results) / len(results)), words="of no use")


def invented(cell: Cell) -> dict:
    """In place of a training: a record whose figures follow from the cell's names, or what the
    arm's name says."""
    if cell.arm == "fails":
        raise RuntimeError("this arm is broken")
    if cell.arm == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if cell.arm == "waits":
        time.sleep(float(os.environ.get("WAIT", 0.5)))
    random = Random(f"{cell.data} {cell.arm} {cell.seed}")
    figures = {part: dict(score=50 + random.random()) for part in ("validation", "test")}
    return dict(key=key_of(cell), config=cell.config.name, **figures)
