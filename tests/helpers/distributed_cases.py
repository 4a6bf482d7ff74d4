"""Short trainings of the demo, alike for any number of processes; test_distributed.py runs them.

    torchrun --nproc-per-node 2 -m helpers.distributed_cases CONFIG FOLDER CASE...

trains the cases one after another and leaves FOLDER/CASE/seen_RANK.json beside each checkpoint.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, init_default_scope

from helpers.catalogue import CONFIGS, leaf_of
from helpers.layout import without_yapf
from mmdcls.running.processes import end_process
from mmdcls.running.runner import build_runner

ITERATIONS = 20
# Images of one iteration, over all processes; the files are enough for several.
BATCH, IMAGES, SIDE = 4, 12, 64
ACCUMULATED = 3

# What differs from training with positions per block, nothing frozen and nothing recomputed.
SHARED = {"model.backbone.share_positions": True}
CHECKPOINTING = {"model.backbone.with_cp": True}
FROZEN = {"model.backbone.frozen_stages": 2}
# The last two of the 20 iterations make a smaller step of their own.
ACCUMULATION = {"optim_wrapper.accumulative_counts": ACCUMULATED}
TOGETHER = {**SHARED, **CHECKPOINTING, **FROZEN, **ACCUMULATION}
# AdamW, the demo's optimiser, does not see a gradient of the wrong size; this one does.
SGD = {
    "optim_wrapper.optimizer": dict(
        _delete_=True, type="SGD", lr=0.5, momentum=0.9, weight_decay=0.05
    )
}
# Groups that depend on depth and on shape, with a decay that shows.
BY_DEPTH = {
    "optim_wrapper.paramwise_cfg": dict(decay_rate=0.7, num_layers=6),
    "optim_wrapper.optimizer.weight_decay": 1.0,
}
FLEXIBLE = {"runner_type": "FlexibleRunner"}
FSDP = Config.fromfile(CONFIGS / "_base_/strategies/fsdp.py").to_dict()
# What users train in. One step, for optimisers amplify rounding, which is the processor's own.
FLOAT32 = {"train_cfg.max_iters": 1, "param_scheduler": [], "dtype": "float32"}
CASES = dict(
    plain={},
    shared=SHARED,
    checkpointing=CHECKPOINTING,
    frozen=FROZEN,
    accumulation=ACCUMULATION,
    together=TOGETHER,
    together_sgd={**TOGETHER, **SGD},
    by_depth={**SHARED, **BY_DEPTH},
    flexible={**TOGETHER, **SGD, **FLEXIBLE},
    fsdp={**TOGETHER, **SGD, **FSDP},
    fsdp_by_depth={**SHARED, **BY_DEPTH, **FSDP},
    float32={**SHARED, **CHECKPOINTING, **SGD, **FLOAT32},
)
# The case of the plain Runner that one of FlexibleRunner shall equal.
RUNNER_CASES = dict(flexible="together_sgd", fsdp="together_sgd", fsdp_by_depth="by_depth")
# These stop after nine iterations, three steps where gradients are accumulated, and are resumed.
RESUMED = dict.fromkeys(RUNNER_CASES, 9)


@HOOKS.register_module()
class Seen(Hook):
    """Keeps the names of the images of every iteration, and how the model was wrapped."""

    def __init__(self) -> None:
        self.names = []

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        self.names.append([Path(sample.img_path).stem for sample in data_batch["data_samples"]])

    def after_train(self, runner) -> None:
        found = dict(
            names=self.names,
            wrapper=type(runner.model).__name__,
            finds_unused_parameters=getattr(runner.model, "find_unused_parameters", None),
        )
        Path(runner.work_dir, f"seen_{get_rank()}.json").write_text(json.dumps(found))


def write_config(folder: Path) -> Path:
    """The demo, small, with its data, for BATCH images in one process."""
    write_images(folder / "data")
    cfg = Config.fromfile(leaf_of("demo", "mini_upernet"))
    heads = dict(channels=16, norm_cfg=dict(type="GN", num_groups=4))
    widths = [8, 8, 16, 16]
    # The mean of the losses of the parts of a batch is that of the batch where the loss is a mean
    # over as many pixels in each part: none is ignored. The demo's Lovasz loss is no mean.
    losses = [dict(type="CrossEntropyLoss", loss_weight=1.0)]
    options = {
        # With whole numbers, as the demo has them, normalised images would be float32.
        "model.data_preprocessor.mean": [87.0, 99.0, 106.0],
        "model.data_preprocessor.std": [18.0, 25.0, 37.0],
        "model.data_preprocessor.size": (SIDE, SIDE),
        "model.backbone.arch": dict(depths=[1, 2, 2, 1], channels=widths),
        "model.backbone.kernel_size": 7,
        "model.backbone.kernel_count": 5,
        "model.backbone.interpolation": "gaussian",
        "model.backbone.share_positions": False,
        # Every process would drop other paths.
        "model.backbone.drop_path_rate": 0.0,
        # The rate that position_travel gives is another where a run is to stop sooner, and there is
        # none under SGD.
        "optim_wrapper.paramwise_cfg": dict(_delete_=True, position_lr_mult=20.0),
        "model.decode_head": dict(in_channels=widths, loss_decode=losses, **heads),
        "model.auxiliary_head": dict(in_channels=widths[2], **heads),
        "train_dataloader.dataset.data_root": str(folder / "data"),
        "train_dataloader.dataset.serialize_data": False,
        "val_dataloader.dataset.data_root": str(folder / "data"),
        "val_dataloader.dataset.serialize_data": False,
        "train_dataloader.batch_size": BATCH,
        "train_cfg.max_iters": ITERATIONS,
        "train_cfg.val_interval": 10 * ITERATIONS,
        "default_hooks.checkpoint.interval": ITERATIONS,
        "log_level": "WARNING",
        # Of the model and its training.
        "dtype": "float64",
    }
    cfg.merge_from_dict(options)
    # Every process would draw its own augmentations.
    load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
    cfg.train_dataloader.dataset.pipeline = [*load, dict(type="PackSegInputs")]
    cfg.param_scheduler = cfg.param_scheduler[:1]
    health_of(cfg).update(interval=ITERATIONS, picture_interval=0)
    cfg.dump(folder / "small.py")
    return folder / "small.py"


def health_of(cfg: Config) -> ConfigDict:
    (health,) = (hook for hook in cfg.custom_hooks if hook.type == "mmdcls.PositionHealth")
    return health


def write_images(root: Path) -> None:
    """Images unlike each other: a batch that lacks one, or has it twice, gives other gradients."""
    random = np.random.default_rng(0)
    for split in ("training", "validation"):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for index in range(IMAGES):
            blocks = random.integers(0, 3, (4, 4), dtype=np.uint8)
            labels = blocks.repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
            noise = random.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
            cv2.imwrite(str(root / f"images/{split}/{index}.png"), noise + 60 * labels[..., None])
            cv2.imwrite(str(root / f"annotations/{split}/{index}.png"), labels)


def case_config(config: Path, case: str, work_dir: Path, processes: int) -> Config:
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(CASES[case])
    cfg.train_dataloader.batch_size //= processes
    cfg.work_dir = str(work_dir)
    if "fsdp" in case:  # where what is drawn must be gathered, and given back
        health_of(cfg).picture_interval = 5
    # Runners of one process share visualisers of one name.
    cfg.visualizer.name = f"{work_dir.parent.name}_{case}"
    return cfg


@contextmanager
def default_dtype(name: str) -> Iterator[None]:
    """Models built and trained within it are of this dtype; so is what mmseg normalises."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, name))
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def train(cfg: Config, launcher: str, halt: int | None = None) -> None:
    """To the end; or up to the iteration `halt`, and then, resumed, to the end."""
    cfg.launcher = launcher
    init_default_scope(cfg.default_scope)
    for end in filter(None, (halt, cfg.train_cfg.max_iters)):
        cfg.train_cfg.max_iters = end
        if halt is not None:
            cfg.resume = end > halt
        with default_dtype(cfg.dtype), without_yapf():
            runner = build_runner(cfg)
            runner.register_hook(Seen())
            runner.train()


if __name__ == "__main__":
    for case in sys.argv[3:]:
        cfg = case_config(Path(sys.argv[1]), case, Path(sys.argv[2], case), processes=2)
        train(cfg, "pytorch", RESUMED.get(case))
    end_process()
