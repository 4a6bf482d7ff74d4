"""Write a copy of a config, with all that it inherits, to edit."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mmdcls.config import add_options, config_at
from mmdcls.errors import InputError

from .parsing import command_parser

EXAMPLE = "mmdcls config dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512 -o mine.py"
NOTE = (
    "The copy is whole. A short config that inherits instead begins with\n"
    '  _base_ = __import__("mmdcls").config_path("NAME")'
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser("config", __doc__, EXAMPLE, NOTE)
    parser.add_argument("config", help="config file, or the name of a config of `mmdcls list`")
    parser.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="file to write; default: the console"
    )
    add_options(parser)
    parsed = parser.parse_args(arguments)
    text = config_at(parsed.config, parsed.cfg_options).pretty_text
    if parsed.out is None:
        sys.stdout.write(text)
        return
    if parsed.out.suffix != ".py":
        raise InputError(f"-o {parsed.out}: mmengine reads the copy as Python; write NAME.py.")
    if parsed.out.exists():
        raise InputError(f"{parsed.out} exists and may have been edited; write to another file.")
    parsed.out.write_text(text)
    sys.stdout.write(f"{parsed.out} is written; train it by mmdcls train {parsed.out}\n")
