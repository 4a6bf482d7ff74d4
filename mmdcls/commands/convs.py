"""List the convolutions of a model that a rule can name, and show what a rule would do."""

import argparse
import sys
from collections.abc import Sequence

from mmdcls.config import add_options, read_config
from mmdcls.models.convolutions import convolutions

from .parsing import command_parser

NOTE = (
    "Without --where, the rules of the config are shown. A config says such a rule as\n"
    "  backbone=dict(type='mmdcls.Converted', network='ResNet', dcls=dict(where=REGEX, ...))"
)
EXAMPLE = (
    "mmdcls convs mask-rcnn_dcls-resnet50_fpn_amp-ms-crop-1x_coco --where '.*conv2' --kernel-size 7"
)
FLAGS = {"true": True, "false": False}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser("convs", __doc__, EXAMPLE, NOTE)
    parser.add_argument("config", help="config file, or the name of a config of `mmdcls list`")
    parser.add_argument(
        "--part",
        help="module of the model in which names begin, or '' for all of it; default: the backbone",
    )
    add_options(parser)
    rule = parser.add_argument_group("a rule, as of mmdcls.dcls.Rule")
    rule.add_argument("--where", metavar="REGEX", help="for the whole name of a convolution")
    rule.add_argument("--where-depthwise", type=flag, metavar="{true,false}")
    rule.add_argument("--where-kernel-size", type=size, metavar="SIZE", help="as 3, or 1,11")
    rule.add_argument("--where-stride", type=size, metavar="SIZE")
    rule.add_argument("--kernel-size", type=size, metavar="SIZE", help="extent for the elements")
    rule.add_argument("--kernel-count", type=count, metavar="COUNT", help='elements, or "neutral"')
    rule.add_argument("--interpolation")
    rule.add_argument("--initial-spread")
    rule.add_argument("--share", metavar="{stage,layer}")
    parsed = vars(parser.parse_args(arguments))
    config, options, part = (parsed.pop(name) for name in ("config", "cfg_options", "part"))
    given = {name: value for name, value in parsed.items() if value is not None}
    if given and "where" not in given:
        parser.error(f"--{next(iter(given)).replace('_', '-')} is of a rule, which needs --where")
    sys.stdout.write(convolutions(read_config(config, options), part, given or None) + "\n")


def size(text: str) -> int | tuple[int, ...]:
    numbers = tuple(map(int, text.split(",")))
    return numbers if len(numbers) > 1 else numbers[0]


def count(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def flag(text: str) -> bool:
    if text not in FLAGS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return FLAGS[text]
