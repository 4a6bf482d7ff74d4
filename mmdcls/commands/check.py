"""Look for what would make training wrong: settings, annotations, images and their truth."""

import sys
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS
from torch import nn

from mmdcls.config import add_options, one_line, read_config, without_pretrained
from mmdcls.data.checks import findings_of
from mmdcls.data.findings import Finding, Run
from mmdcls.data.paths import check_paths
from mmdcls.data.reading import naming_bad_data
from mmdcls.data.report import report
from mmdcls.data.survey import survey
from mmdcls.errors import InputError
from mmdcls.running.check_layers import check_layers

from .parsing import command_parser

EXAMPLE = "mmdcls check mine.py --images 20"
SPLITS = ("train", "val")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 where training would be wrong, or fail, else 0."""
    parser = command_parser("check", __doc__, EXAMPLE)
    parser.add_argument("config", help="config file, or the name of a config of `mmdcls list`")
    parser.add_argument(
        "--images", type=int, metavar="N", help="of each split load N images; default: all of them"
    )
    parser.add_argument(
        "--splits", nargs="+", choices=[*SPLITS, "test"], default=SPLITS, help="default: train val"
    )
    add_options(parser)
    parsed = parser.parse_args(arguments)
    cfg = without_pretrained(read_config(parsed.config, parsed.cfg_options))
    splits = tuple(split for split in parsed.splits if cfg.get(f"{split}_dataloader"))
    check_paths(cfg, splits)
    model = MODELS.build(cfg.model)
    found = [*layers(cfg, model), *findings_of(Run(cfg, model, splits))]
    for split in splits:
        found += look_at(cfg, split, parsed.images)
    for finding in dict.fromkeys(found):
        kind = "wrong" if finding.is_wrong else "worth a look"
        sys.stdout.write(f"{kind}: {finding.sentence}\n")
    is_wrong = any(finding.is_wrong for finding in found)
    sys.stdout.write(
        "" if is_wrong else "nothing is wrong with the data and the settings that go with it\n"
    )
    return 1 if is_wrong else 0


def layers(cfg: Config, model: nn.Module) -> list[Finding]:
    try:
        check_layers(cfg, model)
    except InputError as error:
        return [Finding(str(error))]
    return []


def look_at(cfg: Config, split: str, most: int | None) -> list[Finding]:
    loader = cfg[f"{split}_dataloader"]
    try:
        with naming_bad_data(loader):
            dataset = DATASETS.build(loader.dataset)
    except InputError as error:
        return [Finding(str(error))]
    except (KeyError, TypeError, ValueError) as error:
        return [Finding(f"{split}_dataloader.dataset cannot be built: {one_line(error)}.")]
    seen = survey(dataset, most, split)
    classes = dataset.metainfo.get("classes") or ()
    sys.stdout.write(report(split, seen, classes) + "\n")
    return seen.findings
