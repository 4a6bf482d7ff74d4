"""What `mmdcls train` and `mmdcls test` share: arguments, config, runner."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config

from mmdcls.checkpoint.initial_files import check_pretrained
from mmdcls.config import add_options, read_config, without_pretrained
from mmdcls.data.checks import findings_of
from mmdcls.data.findings import Run, refuse
from mmdcls.wrapping import unwrapped

from .check_config import check_config
from .check_layers import check_layers
from .failures import in_a_sentence, sentence_of
from .hooks import CheckInputs
from .processes import rank_of
from .runner import build_runner
from .traces import Traces


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="config file, or the name of a config of `mmdcls list`")
    parser.add_argument("--work-dir", help="where to write; default work_dirs/NAME_OF_CONFIG")
    add_options(parser)
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    # torch.distributed.launch passes it; torchrun sets the variable itself.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)


def load_config(arguments: argparse.Namespace) -> Config:
    os.environ.setdefault("LOCAL_RANK", str(arguments.local_rank))
    with in_a_sentence():
        cfg = read_config(arguments.config, arguments.cfg_options)
    cfg.launcher = arguments.launcher
    default = Path("work_dirs") / Path(arguments.config).stem
    cfg.work_dir = arguments.work_dir or cfg.get("work_dir") or str(default)
    return cfg


def run(cfg: Config, task: str) -> None:
    """Train or test. Bad input ends the program with a sentence and leaves no new files behind.

    task: "train" or "test". Once an iteration has run, its files are kept. Of several processes,
    only the first, which writes nearly all files, takes them back.
    """
    traces, is_first = Traces(cfg), rank_of(cfg.get("launcher", "none")) == 0
    runner, checks = None, CheckInputs()
    with in_a_sentence(training=task == "train"):
        try:
            traces.check()
            splits = ("train", "val") if task == "train" else ("test",)
            check_config(cfg, splits)
            if task == "test":
                without_pretrained(cfg)
            runner = build_runner(cfg)
            runner.register_hook(checks)
            check_layers(cfg, runner.model)
            found = findings_of(Run(cfg, unwrapped(runner.model), splits))
            refuse(found, runner.logger.warning)
            if task == "train":
                check_pretrained(runner.model)
                runner.train()
            else:
                runner.test()
        except Exception as error:
            spoilt = runner is None or (sentence_of(error) and not checks.worked)
            if is_first and spoilt:
                traces.remove()
            raise
