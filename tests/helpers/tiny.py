"""A model of two DCLS blocks that share positions, and Runners that train it in a second."""

import json
from itertools import count
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch import Tensor, nn

import mmdcls.engine  # noqa: F401  registers the hooks
from mmdcls.dcls import Dcls2d
from mmdcls.models.convnext import Block, Stage

CHANNELS, SIZE, ELEMENTS = 4, 7, 5
RUNS = count()


class Tiny(BaseModel):
    """The loss is the mean square of the output; `seen` keeps the outputs of evaluations."""

    def __init__(self, interpolation: str = "gaussian", share_positions: bool = True) -> None:
        super().__init__()
        blocks = [
            Block(
                Dcls2d(
                    CHANNELS,
                    CHANNELS,
                    SIZE,
                    padding="same",
                    groups=CHANNELS,
                    kernel_count=ELEMENTS,
                    interpolation=interpolation,
                    share_positions=share_positions,
                ),
                drop_path_rate=0.0,
                layer_scale_init_value=1.0,
            )
            for _ in range(2)
        ]
        self.stage = Stage(blocks, share_positions)
        self.register_buffer("steps", torch.zeros(()))
        self.seen: list[Tensor] = []

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = "tensor"):
        x = self.stage(inputs)
        if mode == "loss":
            return dict(loss_square=x.square().mean())
        if mode == "predict":
            self.seen.append(x.clone())
            return list(x)
        return x


class Plain(BaseModel):
    """A model without positions."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = "tensor"):
        return dict(loss=self.layer(inputs).square().mean())


class Count(BaseMetric):
    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list) -> dict:
        return dict(count=len(results))


def images(number: int = 4) -> list[dict]:
    generator = torch.Generator().manual_seed(7)
    return [dict(inputs=torch.randn(CHANNELS, 6, 6, generator=generator)) for _ in range(number)]


def batch(number: int = 2) -> dict:
    return dict(inputs=torch.stack([image["inputs"] for image in images(number)]))


def loader(repeats: int = 1) -> dict:
    return dict(
        dataset=images() * repeats,
        batch_size=2,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="default_collate"),
    )


def wrapper(net: nn.Module, type: str = "OptimWrapper", **options):
    """SGD under an optimiser wrapper of this type."""
    options["optimizer"] = torch.optim.SGD(net.parameters(), lr=0.1)
    return OPTIM_WRAPPERS.build(dict(type=type, **options))


def runner_of(
    net: BaseModel,
    work_dir: Path,
    hooks: list[dict],
    iterations: int = 4,
    by_epoch: bool = False,
    optimizer: dict | None = None,
    evaluate: bool = False,
    save_every: int = -1,
    optim_wrapper: dict | None = None,
    log_level: str = "ERROR",
    **options,
) -> Runner:
    """Two iterations make an epoch where epochs count.

    iterations: or epochs, as by_epoch says.
    evaluate: validates after every iteration or epoch, and can test.
    optim_wrapper: what it has beside the optimizer.
    """
    if by_epoch:
        train_cfg = dict(by_epoch=True, max_epochs=iterations, val_interval=1)
    else:
        train_cfg = dict(by_epoch=False, max_iters=iterations, val_interval=1)
    if evaluate:
        for split in ("val", "test"):
            options |= {
                f"{split}_dataloader": loader(),
                f"{split}_cfg": dict(),
                f"{split}_evaluator": [Count()],
            }
    return Runner(
        net,
        str(work_dir),
        # mmengine waits two seconds wherever an iteration-based loop reaches the end of its data.
        train_dataloader=loader(1 if by_epoch else 32),
        train_cfg=train_cfg,
        optim_wrapper=dict(
            optimizer=optimizer or dict(type="SGD", lr=0.1), **(optim_wrapper or {})
        ),
        default_hooks=dict(
            logger=dict(type="LoggerHook", interval=1, log_metric_by_epoch=by_epoch),
            checkpoint=dict(type="CheckpointHook", interval=save_every, by_epoch=by_epoch),
        ),
        log_processor=dict(by_epoch=by_epoch, window_size=1),
        custom_hooks=hooks,
        default_scope="mmengine",
        log_level=log_level,
        # Runners of one name would share their log and their history.
        experiment_name=f"tiny_{next(RUNS)}",
        **options,
    )


def logged(work_dir: Path) -> list[dict]:
    """What the newest run under this folder wrote for each iteration."""
    newest = max(work_dir.glob("*/vis_data/scalars.json"), key=lambda path: path.stat().st_mtime_ns)
    lines = [json.loads(line) for line in newest.read_text().splitlines()]
    return [line for line in lines if "loss" in line]
