"""Count parameters and multiply-adds of a model, part by part, as the published tables do."""

import sys
from collections.abc import Sequence

from mmdcls.analysis.networks import SIZES, count, dense, proposals_of, size_of
from mmdcls.analysis.report import CONVENTION, table
from mmdcls.config import add_options, read_config, without_pretrained

from .parsing import command_parser

EXAMPLE = "mmdcls flops dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser("flops", __doc__, EXAMPLE)
    parser.add_argument("config", help="config file, or the name of a config of `mmdcls list`")
    parser.add_argument(
        "--shape",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="of the image; default as in published tables: "
        + ", ".join(f"{scope} {height} {width}" for scope, (height, width) in SIZES.items()),
    )
    add_options(parser)
    parsed = parser.parse_args(arguments)
    cfg = without_pretrained(read_config(parsed.config, parsed.cfg_options))
    size = tuple(parsed.shape) if parsed.shape else size_of(cfg)
    parts, plain = count(cfg, size), dense(cfg)
    sys.stdout.write(f"one image, height {size[0]}, width {size[1]}{proposals_of(cfg)}\n\n")
    sys.stdout.write(table(parts, plain and count(plain, size)))
    sys.stdout.write(f"\n{CONVENTION}")
