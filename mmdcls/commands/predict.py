"""Predict on images with a trained segmentor or detector, and draw what it finds."""

from collections.abc import Sequence
from pathlib import Path

from mmdcls.config import add_options
from mmdcls.running.prediction import SCORE_THRESHOLD, predict
from mmdcls.shipped import model_named

from .parsing import command_parser

USAGE = """mmdcls predict [options] CONFIG CHECKPOINT PATH ...
       mmdcls predict [options] --model NAME [PATH ...]"""
EXAMPLE = "mmdcls predict mine.py work_dirs/mine/iter_160000.pth image.jpg folder --out predictions"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser("predict", __doc__, EXAMPLE)
    parser.usage = USAGE
    parser.add_argument(
        "given",
        nargs="*",
        metavar="CONFIG CHECKPOINT PATH",
        help="config file, or the name of a config of `mmdcls list`; checkpoint file; images, or "
        "folders of them",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a trained model of `mmdcls list`, in place of config and checkpoint; without a PATH "
        "it predicts on the image that comes with it",
    )
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="default predictions")
    parser.add_argument("--device", help="such as cpu or cuda:1; default the first GPU, if any")
    parser.add_argument(
        "--score-threshold",
        type=float,
        metavar="SCORE",
        help=f"of a detector, draw objects with higher scores; default {SCORE_THRESHOLD}",
    )
    add_options(parser)
    parsed = parser.parse_intermixed_args(arguments)
    if parsed.model:
        config, checkpoint, example = map(str, model_named(parsed.model))
        paths = parsed.given or [example]
    elif len(parsed.given) < 3:
        parser.error("give CONFIG, CHECKPOINT and one PATH or more, or --model NAME")
    else:
        config, checkpoint, *paths = parsed.given
    predict(
        config,
        checkpoint,
        [Path(path) for path in paths],
        parsed.out,
        device=parsed.device,
        options=parsed.cfg_options,
        score_threshold=parsed.score_threshold,
    )
