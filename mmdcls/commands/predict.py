"""Predict on images with a trained segmentor or detector, and draw what it finds."""

from collections.abc import Sequence
from pathlib import Path

from mmdcls.config import add_options
from mmdcls.running.prediction import SCORE_THRESHOLD, predict

from .parsing import command_parser

EXAMPLE = "mmdcls predict mine.py work_dirs/mine/iter_160000.pth image.jpg folder --out predictions"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser("predict", __doc__, EXAMPLE)
    parser.add_argument("config", help="config file, or the name of a config of `mmdcls list`")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("paths", nargs="+", type=Path, metavar="path", help="image, or folder")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="default predictions")
    parser.add_argument("--device", help="such as cpu or cuda:1; default the first GPU, if any")
    parser.add_argument(
        "--score-threshold",
        type=float,
        metavar="SCORE",
        help=f"of a detector, draw objects with higher scores; default {SCORE_THRESHOLD}",
    )
    add_options(parser)
    parsed = parser.parse_args(arguments)
    predict(
        parsed.config,
        parsed.checkpoint,
        parsed.paths,
        parsed.out,
        device=parsed.device,
        options=parsed.cfg_options,
        score_threshold=parsed.score_threshold,
    )
