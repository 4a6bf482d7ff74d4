"""Train one cell in this process, and say what came of it."""

import copy
import io
import logging
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from numbers import Real
from statistics import median

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner, set_random_seed
from mmengine.visualization import Visualizer
from torch import nn

from mmdcls.analysis.counting import multiply_adds
from mmdcls.config import nodes
from mmdcls.dcls import position_owners
from mmdcls.dcls.elements import PLACES
from mmdcls.errors import InputError
from mmdcls.registry import bare_name
from mmdcls.running.runner import build_runner
from mmdcls.wrapping import unwrapped

from .cells import Cell, base_config, config_of, key_of
from .measures import kernel_figures, shapes_of_inputs
from .records import Record
from .surroundings import commit, device_name, versions

# Hooks that watch a training, or keep its files, and change nothing of it.
WATCHING = {"CheckInputs", "ExactResume", "PositionHealth"}
# What decides by validations, of which a cell has one, when all is done.
FOLLOWING = ("ReduceOnPlateau", "EarlyStopping")
# More iterations or epochs than any training has.
NEVER = 2**62


def train_cell(
    cell: Cell, figures_of: Callable[[Runner], dict[str, float]] = lambda runner: {}
) -> Record:
    """Its figures on the validation part at the end of the training, and once on the test part
    where the config has one.

    Nothing is selected on the way: the config's validations before the last are left out, and so
    are checkpoints. All parameters and buffers that the cell's model has in common with that of
    its config, under the same seed, start from the same values, positions and widths excepted; so
    do random numbers and the order of data when training begins. Arms differ by nothing else.

    figures_of: what else is to be told of the network, before and after.

    The record has the warnings of the training's log, each once.

    Raises InputError for a config that has no validation, or that follows more than one.
    """
    started = time.monotonic()
    cfg = quiet(config_of(cell), cell)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        cfg.work_dir = folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runner = build_runner(cfg)
            said = Warnings()
            runner.logger.addHandler(said)
            with forgotten(runner):
                return dict(
                    key=key_of(cell),
                    config=cell.config.name,
                    **trained(runner, cell, figures_of),
                    seconds=time.monotonic() - started,
                    device=device_name(),
                    versions=versions(),
                    warnings=said.lines,
                    commit=commit(),
                )


def check_one_validation(cfg: Config, name: str) -> None:
    """Raise InputError where a training cannot be judged by one validation, at its end."""
    if not cfg.get("val_evaluator") or not cfg.get("train_dataloader"):
        raise InputError(
            f"{name} trains or validates nothing; give it train_dataloader, val_dataloader, "
            f"val_cfg and val_evaluator."
        )
    for key in ("param_scheduler", "custom_hooks", "default_hooks"):
        for path, node in nodes(key, cfg.get(key)):
            if (kind := bare_name(node.get("type", ""))).startswith(FOLLOWING):
                raise InputError(
                    f"{path} of {name} is a {kind}, which follows the validations of a training, "
                    f"and here each training is validated once, at its end: take it out, or "
                    f"another in its place."
                )


def quiet(cfg: Config, cell: Cell) -> Config:
    """The config of a training that writes and shows nothing, and validates at its end alone."""
    check_one_validation(cfg, str(cell.config))
    default_hooks = {**(cfg.get("default_hooks") or {}), "logger": None, "checkpoint": None}
    default_hooks.pop("visualization", None)
    hooks = cfg.get("custom_hooks") or []
    changes = dict(
        custom_hooks=[hook for hook in hooks if bare_name(hook["type"]) not in WATCHING],
        default_hooks=default_hooks,
        visualizer=dict(type="mmengine.Visualizer", vis_backends=[], name=str(cell)),
        experiment_name=str(cell),
        log_level="WARNING",
        launcher="none",
        resume=False,
        randomness={**(cfg.get("randomness") or {}), "seed": cell.seed},
        train_cfg={**cfg.train_cfg, "val_interval": NEVER},
    )
    # yapf takes longer to lay the text out than some cells to train.
    return Config({**cfg.to_dict(), **changes}, format_python_code=False)


@contextmanager
def forgotten(runner: Runner) -> Iterator[None]:
    """Afterwards, what mmengine keeps of a runner for the whole process is gone."""
    try:
        yield
    finally:
        for handler in runner.logger.handlers:
            handler.close()
        for kind in (MMLogger, MessageHub, DefaultScope):
            kind._instance_dict.pop(runner.experiment_name, None)
        Visualizer._instance_dict.pop(runner.visualizer.instance_name, None)


class Warnings(logging.Handler):
    """Keeps what a log warns of, each line once."""

    # What mmengine says of most trainings, or because of `start_alike`.
    USUAL = re.compile("init_weights of .* more than once|The prefix is not set|.* no metainfo")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self.lines and not self.USUAL.match(line):
            self.lines.append(line)


class Watch(Hook):
    """Keeps the metrics of the last validation, and the time of every step."""

    priority = "VERY_LOW"

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.metrics: dict[str, float] | None = None
        self.seconds: list[float] = []

    def before_train(self, runner: Runner) -> None:
        # Models that are not built alike have drawn differently.
        set_random_seed(self.seed)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        self.started = clock()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: dict | None = None,
    ) -> None:
        self.seconds.append(clock() - self.started)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self.metrics = dict(metrics or {})


def clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def trained(runner: Runner, cell: Cell, figures_of: Callable[[Runner], dict[str, float]]) -> Record:
    model = unwrapped(runner.model)
    start_alike(model, base_config(cell.config), cell.seed)
    # A FlexibleRunner can load no sooner than it trains.
    if isinstance(runner, Runner):
        runner.load_or_resume()
    backbone = getattr(model, "backbone", model)
    before = kernel_figures(backbone) | figures_of(runner)
    watch = Watch(cell.seed)
    runner.register_hook(watch)
    with shapes_of_inputs(backbone) as shapes:
        runner.train()
    found = numbers(watch.metrics or {})
    # Of a detector that finds nothing, COCO's metric says nothing.
    if not found and watch.metrics != {}:
        raise InputError(f"The validation of {cell.config} gives no number; mend val_evaluator.")
    test = runner.test_loop.run() if runner.test_loop else {}
    return dict(
        validation=found,
        test=numbers(test),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        multiply_adds=multiply_adds(backbone, shapes[0][1:]) if shapes else None,
        steps=len(watch.seconds),
        seconds_per_step=median(watch.seconds),
        before=before,
        after=kernel_figures(backbone) | figures_of(runner),
    )


@torch.no_grad()
def start_alike(model: nn.Module, base: Config, seed: int) -> None:
    """Give the model the initial values of the base config's under this seed, as `train_cell`
    says."""
    # Once is all: what the Runner calls later changes nothing.
    model.init_weights()
    set_random_seed(seed)
    config = copy.deepcopy(base.model)
    if base.get("data_preprocessor"):
        config.setdefault("data_preprocessor", copy.deepcopy(base.data_preprocessor))
    reference = MODELS.build(config)
    reference.init_weights()
    elements = {
        f"{name}.{kind}" if name else kind
        for net in (model, reference)
        for name in position_owners(net)
        for kind in PLACES
    }
    own = model.state_dict()
    for name, value in reference.state_dict().items():
        if name in own and name not in elements and own[name].shape == value.shape:
            own[name].copy_(value)


def numbers(metrics: dict) -> dict[str, float]:
    """Without what evaluators say in words; of mmseg they are numpy's."""
    return {name: float(value) for name, value in metrics.items() if isinstance(value, Real)}
