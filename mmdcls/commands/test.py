"""Test a checkpoint, of a segmentor or a detector, and evaluate it."""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmdcls.config import sets_of
from mmdcls.data.augmentation import views_apart
from mmdcls.registry import bare_name
from mmdcls.running.launch import add_run_arguments, load_config, run
from mmdcls.running.processes import end_process

from .parsing import command_parser

EXAMPLE = "mmdcls test mine.py work_dirs/mine/iter_160000.pth --show-dir pictures"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser("test", __doc__, EXAMPLE)
    add_run_arguments(parser)
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument(
        "--tta", action="store_true", help="test-time augmentation of the config (tta_pipeline)"
    )
    parser.add_argument("--show-dir", help="folder for pictures of predictions beside the truth")
    parser.add_argument(
        "--out",
        help="keep predictions: a .pkl file, or for segmentation a folder of label images",
    )
    return parser.parse_args(arguments)


def apply_flags(cfg: Config, arguments: argparse.Namespace) -> None:
    cfg.load_from = arguments.checkpoint
    if arguments.show_dir:
        keep_pictures(cfg, arguments.show_dir)
    if arguments.tta:
        if "tta_pipeline" not in cfg or "tta_model" not in cfg:
            raise SystemExit(
                "--tta needs tta_pipeline and tta_model in the config: take both from what "
                "`mmdcls config dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512` prints, "
                "with the sizes of your test pipeline"
            )
        if apart := views_apart(cfg):
            warnings.warn(apart, stacklevel=2)
        for _, dataset in sets_of(cfg, "test"):
            dataset.pipeline = cfg.tta_pipeline
        cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    if arguments.out:
        keep_predictions(cfg, arguments.out)


def keep_pictures(cfg: Config, folder: str) -> None:
    if "visualization" not in cfg.default_hooks:
        raise SystemExit("--show-dir needs default_hooks.visualization in the config")
    cfg.visualizer.save_dir = folder
    hook = cfg.default_hooks.visualization
    if bare_name(hook.type) == "SegVisualizationHook":
        keep_by_place(cfg, show_dir=folder, backend_args=hook.get("backend_args"))
    else:
        # Every picture, where the hook's own default is one in fifty.
        hook.update(draw=True, interval=1)


def keep_by_place(cfg: Config, **options: object) -> None:
    hook = ConfigDict(type="mmdcls.KeepPredictions", **options)
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]


def keep_predictions(cfg: Config, out: str) -> None:
    given = cfg.test_evaluator
    metrics = list(given) if isinstance(given, (list, tuple)) else [given]
    if out.endswith((".pkl", ".pickle")):
        kind = "DumpDetResults" if cfg.get("default_scope") == "mmdet" else "DumpResults"
        metrics.append(ConfigDict(type=kind, out_file_path=out))
    else:
        writers = [metric for metric in metrics if bare_name(metric.type) == "IoUMetric"]
        if not writers or (Path(out).suffix and not Path(out).is_dir()):
            raise SystemExit(
                f"--out {out}: write a .pkl file; only segmentors write a folder, whose name has "
                f"no dot"
            )
        keep_by_place(cfg, output_dir=out)
        for metric in writers:
            metric.pop("output_dir", None)
        metrics = [m for m in metrics if m not in writers or not m.get("format_only")]
    cfg.test_evaluator = metrics


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = parse_arguments(arguments)
    cfg = load_config(parsed)
    apply_flags(cfg, parsed)
    run(cfg, "test")
    end_process()
