"""Train a model, segmentor or detector, from its config."""

import argparse
from collections.abc import Sequence

import torch
from mmengine.config import Config

from mmdcls.registry import bare_name
from mmdcls.running.launch import add_run_arguments, load_config, run
from mmdcls.running.processes import end_process

from .parsing import command_parser


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser("train", __doc__, "mmdcls train mine.py --work-dir work_dirs/mine")
    add_run_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="resume from this checkpoint; without a path, from the latest one in the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (bfloat16 on CPU)")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the rate by batch size / auto_scale_lr.base_batch_size of the config",
    )
    return parser.parse_args(arguments)


def apply_flags(cfg: Config, arguments: argparse.Namespace) -> None:
    if arguments.amp:
        kind = cfg.optim_wrapper.get("type", "OptimWrapper")
        if bare_name(kind) not in ("OptimWrapper", "AmpOptimWrapper", "amp_optim_wrapper"):
            raise SystemExit(f"--amp works with type='OptimWrapper', and the config has {kind!r}")
        if cfg.get("default_scope") == "mmdet" and not torch.accelerator.is_available():
            raise SystemExit("--amp trains detectors on GPUs only: mmcv's nms on CPU is float32")
        cfg.optim_wrapper.type = "mmdcls.AmpOptimWrapper"
    if arguments.auto_scale_lr:
        if "base_batch_size" not in (cfg.get("auto_scale_lr") or {}):
            raise SystemExit(
                "--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config"
            )
        cfg.auto_scale_lr.enable = True
    if arguments.resume is not None:
        cfg.resume = True
        cfg.load_from = None if arguments.resume == "auto" else arguments.resume


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = parse_arguments(arguments)
    cfg = load_config(parsed)
    apply_flags(cfg, parsed)
    run(cfg, "train")
    end_process()
