"""What tools/train.py and tools/test.py share: arguments, config, runner."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, FlexibleRunner, Runner
from torch.utils.data import DataLoader

from mmdcls.engine import (
    CheckInputs,
    UnreadableFiles,
    check_config,
    check_layers,
    check_pretrained,
    naming_bad_data,
    watch,
    weights_of,
)
from mmdcls.failures import is_refusal, sentence_of
from mmdcls.processes import join_processes_on_cpu, rank_of
from mmdcls.traces import Traces


def config_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="where to write; default work_dirs/NAME_OF_CONFIG")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=Options,
        default={},
        metavar="KEY=VALUE",
        help="override settings of the config; lists as key=a,b or 'key=[(a,b),(c,d)]'",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    # torch.distributed.launch passes it; torchrun sets the variable itself.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    return parser


def load_config(arguments: argparse.Namespace) -> Config:
    os.environ.setdefault("LOCAL_RANK", str(arguments.local_rank))
    cfg = Config.fromfile(arguments.config)
    cfg.merge_from_dict(arguments.cfg_options)
    cfg.launcher = arguments.launcher
    default = Path("work_dirs") / Path(arguments.config).stem
    cfg.work_dir = arguments.work_dir or cfg.get("work_dir") or str(default)
    return cfg


class Options(DictAction):
    """mmengine's, which takes the spaces out of paths."""

    @staticmethod
    def _parse_iterable(val: str) -> object:
        is_path = "/" in val and not set(val) & set(",()[]")
        return val.strip("'\"") if is_path else DictAction._parse_iterable(val)


class Checked:
    """Of a runner: looks at its data sets before any worker process has a copy of them.

    mmengine's CheckpointHook is replaced by ours, which takes the same arguments.
    """

    policies: Sequence[UnreadableFiles] = ()

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        hooks = dict(hooks or {})
        checkpoint = hooks.setdefault("checkpoint", dict(type="CheckpointHook", interval=1))
        if isinstance(checkpoint, dict) and checkpoint["type"] == "CheckpointHook":
            hooks["checkpoint"] = dict(checkpoint, type="mmdcls.CheckpointHook")
        super().register_default_hooks(hooks)

    def build_train_loop(self, loop: dict | BaseLoop) -> BaseLoop:
        self.policies = [hook for hook in self.hooks if isinstance(hook, UnreadableFiles)]
        try:
            return super().build_train_loop(loop)
        finally:
            self.policies = []  # validation and tests skip nothing

    def build_dataloader(self, dataloader: dict | DataLoader, *arguments, **options) -> DataLoader:
        with naming_bad_data(dataloader):
            loader = super().build_dataloader(dataloader, *arguments, **options)
        watch(loader.dataset)
        for policy in self.policies:
            policy.prepare(loader.dataset)
        return loader

    def build_evaluator(self, evaluator: dict | list | Evaluator) -> Evaluator:
        with naming_bad_data(evaluator):
            return super().build_evaluator(evaluator)


class CheckingRunner(Checked, Runner):
    pass


class PlainNames(Hook):
    """Keep DDPStrategy from prefixing every name in its checkpoints, which Runner does not do."""

    priority = "VERY_HIGH"

    def before_save_checkpoint(self, runner: FlexibleRunner, checkpoint: dict) -> None:
        checkpoint["state_dict"] = weights_of(checkpoint)


class CheckingFlexibleRunner(Checked, FlexibleRunner):
    """Builds its model at once, as Runner does: one that cannot be built leaves no files.

    model_state: the names and shapes of the whole model, which a strategy may cut up.
    """

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.register_hook(PlainNames())
        self.model = self.strategy.build_model(self.model)
        self.model_state = {k: v.to("meta") for k, v in self.model.state_dict().items()}

    def load_or_resume(self) -> None:
        # As Runner does: CheckpointHook chooses what to resume from, and what EMAHook loads into
        # must be there.
        super().call_hook("before_run")
        super().load_or_resume()

    def call_hook(self, name: str, **arguments) -> None:
        if name != "before_run":  # which was called before loading
            super().call_hook(name, **arguments)


def run(cfg: Config, task: str) -> None:
    """Train or test. Bad input ends the program with a sentence and leaves no new files behind.

    task: "train" or "test". Once an iteration has run, its files are kept. Of several processes,
    only the first, which writes nearly all files, takes them back.
    """
    traces, is_first = Traces(cfg), rank_of(cfg.get("launcher", "none")) == 0
    runner, checks = None, CheckInputs()
    try:
        traces.check()
        check_config(cfg, ("train", "val") if task == "train" else ("test",))
        runner = build_runner(cfg)
        runner.register_hook(checks)
        check_layers(cfg, runner.model)
        if task == "train":
            check_pretrained(runner.model)
            runner.train()
        else:
            runner.test()
    except Exception as error:
        spoilt = runner is None or (is_refusal(error) and not checks.worked)
        if is_first and spoilt:
            traces.remove()
        if sentence := sentence_of(error, task == "train"):
            raise SystemExit(sentence) from error
        raise


def build_runner(cfg: Config) -> Runner | FlexibleRunner:
    # Numbers below 1e-38, which GELU's gradient meets by chance, cost CPUs several times a step.
    torch.set_flush_denormal(True)
    if cfg.get("launcher", "none") != "none" and not torch.accelerator.is_available():
        join_processes_on_cpu(cfg)
    if "runner_type" not in cfg:
        return CheckingRunner.from_cfg(cfg)
    if cfg.runner_type == "FlexibleRunner":
        return CheckingFlexibleRunner.from_cfg(cfg)
    return RUNNERS.build(cfg)
