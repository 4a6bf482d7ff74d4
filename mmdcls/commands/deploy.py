"""Write a trained model as torch.export, ONNX and a plain config; none of them needs mmdcls."""

from collections.abc import Sequence
from pathlib import Path

from mmdcls.config import add_options
from mmdcls.deploy.deployment import FORMATS, deploy

from .parsing import command_parser

EXAMPLE = "mmdcls deploy mine.py work_dirs/mine/iter_160000.pth deployed --formats pt2"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser("deploy", __doc__, EXAMPLE)
    parser.add_argument("config", help="config file, or the name of a config of `mmdcls list`")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=FORMATS,
        help="; ".join(f"{name}: {text}" for name, text in FORMATS.items())
        + ". Default: pt2, onnx, and plain where there is such a network",
    )
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="take images of this size only; default: of any size",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="count on how many pixels of the config's validation images the classes agree",
    )
    add_options(parser)
    parsed = parser.parse_args(arguments)
    deploy(
        parsed.config,
        parsed.checkpoint,
        parsed.out,
        formats=parsed.formats,
        size=tuple(parsed.size) if parsed.size else None,
        compare=parsed.compare,
        options=parsed.cfg_options,
    )
