"""What tools/train.py and tools/test.py share: arguments, config, runner."""

import argparse
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from mmdcls.engine import (
    CheckInputs,
    UnreadableFiles,
    check_config,
    check_pretrained,
    naming_empty_data,
    watch,
)
from mmdcls.errors import InputError
from mmdcls.failures import sentence_of


def config_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="where to write; default work_dirs/NAME_OF_CONFIG")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
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


class CheckingRunner(Runner):
    """A Runner that looks at its data sets before any worker process has a copy of them.

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
        with naming_empty_data(dataloader):
            loader = Runner.build_dataloader(dataloader, *arguments, **options)
        watch(loader.dataset)
        for policy in self.policies:
            policy.prepare(loader.dataset)
        return loader


def run(cfg: Config, task: str) -> None:
    """Train or test. Bad input ends the program with a sentence and leaves no new files behind.

    task: "train" or "test". Once an iteration has run, its files are kept.
    """
    work_dir = Path(cfg.work_dir)
    existing = {work_dir, *work_dir.rglob("*")} if work_dir.exists() else set()
    runner, checks = None, CheckInputs()
    try:
        check_config(cfg, ("train", "val") if task == "train" else ("test",))
        runner = build_runner(cfg)
        runner.register_hook(checks)
        if task == "train":
            check_pretrained(runner.model)
            runner.train()
        else:
            runner.test()
    except Exception as error:
        if runner is None or (isinstance(error, InputError) and not checks.worked):
            remove({work_dir, *work_dir.rglob("*")} - existing)
        if sentence := sentence_of(error):
            raise SystemExit(sentence) from error
        raise


def remove(paths: Iterable[Path]) -> None:
    for path in sorted(paths):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def build_runner(cfg: Config) -> Runner:
    if cfg.get("launcher") == "pytorch" and not torch.accelerator.is_available():
        join_processes_on_cpu(cfg)
    return RUNNERS.build(cfg) if "runner_type" in cfg else CheckingRunner.from_cfg(cfg)


def join_processes_on_cpu(cfg: Config) -> None:
    """Start gloo here: mmengine's own start, and its default wrapper, ask for a GPU per process."""
    cfg.env_cfg.dist_cfg = dict(backend="gloo")
    cfg.setdefault("model_wrapper_cfg", dict(type="MMDistributedDataParallel", device_ids=None))
    torch.distributed.init_process_group("gloo")
