"""Turn a checkpoint in any known layout into one of ours, or ours into the published layout."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.registry import MODELS

from mmdcls.checkpoint.conversion import check_target, convert, in_published_layout, write
from mmdcls.checkpoint.files import read_checkpoint
from mmdcls.checkpoint.load import Reading
from mmdcls.checkpoint.published import AXIS_ORDERS
from mmdcls.checkpoint.trained import dataset_meta_of
from mmdcls.config import add_options, read_config, without_pretrained

from .parsing import command_parser

EXAMPLE = "mmdcls convert upernet_convnext_dcls_tiny_1k_512x512.pth ours.pth --config mine.py"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser("convert", __doc__, EXAMPLE)
    parser.add_argument("source", help="file or URL; docs/weights.md lists what is known")
    parser.add_argument("target", type=Path, help="file to write")
    parser.add_argument(
        "--config", required=True, help="config of the model that takes the weights"
    )
    add_options(parser)
    parser.add_argument(
        "--to",
        choices=["mmdcls", "published"],
        default="mmdcls",
        help="layout to write: ours, for load_from and init_cfg, or that of the published code",
    )
    parser.add_argument("--sha256", help="what the checksum of the source must be")
    parser.add_argument("--key", help="entry of the source that holds the weights")
    parser.add_argument(
        "--axis-order", choices=AXIS_ORDERS, help="how the source stores positions, if you know it"
    )
    parsed = parser.parse_args(arguments)
    reading = Reading(parsed.key, axis_order=parsed.axis_order)
    check_target(parsed.source, parsed.target)
    content = read_checkpoint(parsed.source, parsed.sha256)
    cfg = without_pretrained(read_config(parsed.config, parsed.cfg_options))
    model = MODELS.build(cfg.model)
    written, report = convert(model, content, parsed.source, reading)
    if parsed.to == "published":
        dataset_meta = dataset_meta_of(cfg, model, content)
        written = in_published_layout(content, model, parsed.source, reading, dataset_meta)
    write(written, parsed.target)
    sys.stdout.write(f"{report}\n{parsed.target} is written\n")
