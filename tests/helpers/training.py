"""A training small enough for a test: a few iterations of a network on random images."""

from itertools import count
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import Tensor
from torch.utils.data import Dataset

BACKBONE = dict(
    type="mmdcls.DclsConvNeXt",
    arch=dict(depths=(1, 1, 1, 2), channels=(4, 4, 4, 4)),
    kernel_size=7,
    kernel_count=3,
    layer_scale_init_value=1.0,
)
numbers = count()


@DATASETS.register_module()
class RandomImages(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(index)))


@MODELS.register_module()
class SquaredMaps(BaseModel):
    """Learns maps of ones."""

    def __init__(self, backbone: dict) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)

    def forward(self, inputs: list[Tensor], mode: str = "loss") -> dict[str, Tensor]:
        maps = self.backbone(torch.stack(inputs))
        return dict(loss=sum((m - 1).square().mean() for m in maps))


def training(work_dir: Path, hooks: list[dict], options: dict | None = None) -> Config:
    """The config of a Runner; options as for `Config.merge_from_dict`."""
    cfg = dict(
        model=dict(type="SquaredMaps", backbone=BACKBONE),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=dict(type="RandomImages"),
            sampler=dict(type="InfiniteSampler"),
            collate_fn=dict(type="pseudo_collate"),
        ),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=4),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2),
            logger=dict(type="LoggerHook", interval=1),
        ),
        custom_hooks=hooks,
        log_processor=dict(by_epoch=False),
        visualizer=dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")]),
        # Runners of one process share what has the same name.
        experiment_name=f"training_{next(numbers)}",
        default_scope="mmengine",
        launcher="none",
        randomness=dict(seed=0),
    )
    cfg["visualizer"]["name"] = cfg["experiment_name"]
    cfg = Config(cfg)
    cfg.merge_from_dict(options or {})
    return cfg
