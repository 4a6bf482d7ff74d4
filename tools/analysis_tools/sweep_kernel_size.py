"""Train your config at several kernel sizes, and see where a larger kernel brings nothing more.

    python tools/analysis_tools/sweep_kernel_size.py CONFIG --sizes 7 11 17 23 --seeds 3

Every size, and every number of elements where --counts names several, is trained from the start
under every seed, and judged by the validation at the end of the training. All trainings of a seed
start from the same weights but for their kernels, and draw the same random numbers.

WORK_DIR gets a record of each training, a table and a picture. What is trained already is not
trained again: the same command goes on after it was stopped, and more seeds, sizes or counts are
added. Elements that do not move make all sizes alike; the table says where they stand.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from inspect import signature
from itertools import product
from pathlib import Path
from statistics import median

import matplotlib
from matplotlib.figure import Figure
from mmengine.config import Config

from mmdcls.checkpoint.files import read_checkpoint
from mmdcls.checkpoint.layouts import recognise, weights_in
from mmdcls.config import add_options, config_at, nodes
from mmdcls.errors import InputError
from mmdcls.models import DclsConvNeXt
from mmdcls.registry import bare_name
from mmdcls.running.check_config import check_config
from mmdcls.running.failures import in_a_sentence
from mmdcls.study.cells import Cell, key_of
from mmdcls.study.records import Record, means, read_records
from mmdcls.study.run import DEVICES, run_cells
from mmdcls.study.statistics import paired_difference, smallest_as_good, t_interval
from mmdcls.study.text import (
    KERNEL_FIGURES,
    changes_text,
    difference_text,
    interval_text,
    markdown,
)

matplotlib.use("Agg")
TABLE = "trainings"
# What judges where --metric says nothing: the first of these that the validation gives.
METRICS = ("mIoU", "accuracy/top1", "coco/segm_mAP", "coco/bbox_mAP", "pascal_voc/mAP", "accuracy")

# By count, size and seed.
Figures = dict[int, dict[int, dict[int, float]]]


def main(arguments: list[str] | None = None) -> None:
    parsed = parse_arguments(arguments)
    folder = parsed.work_dir or Path("work_dirs") / f"sweep_{parsed.config.stem}"
    with in_a_sentence():
        cfg = config_at(str(parsed.config), parsed.cfg_options)
        backbones = backbones_of(cfg)
        check_starts(backbones)
        cell = partial(cell_of, kept(cfg, folder), list(backbones))
        default = signature(DclsConvNeXt).parameters["kernel_count"].default
        counts = parsed.counts or [next(iter(backbones.values())).get("kernel_count", default)]
        # All sizes and counts under one seed before any under the next.
        wanted = product(range(parsed.seeds), counts, parsed.sizes)
        cells = [cell(count, size, seed) for seed, count, size in wanted]
        outcome = run_cells(cells, folder, parsed.workers, parsed.device, parsed.seconds)
        records = [
            record
            for record in read_records(folder).values()
            # Those of other studies, or trained under other options, are left out.
            if record["table"] == TABLE
            and record["key"] == key_of(cell(*place_of(record), record["seed"]))
        ]
        if records:
            tell(records, parsed.metric, folder)
    outcome.tell(folder)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path, help="config of a model with mmdcls.DclsConvNeXt")
    parser.add_argument("--sizes", type=int, nargs="+", default=[7, 11, 17, 23], metavar="CELLS")
    parser.add_argument("--counts", type=int, nargs="+", help="of elements; default the config's")
    parser.add_argument("--seeds", type=int, default=3, help="how many; default %(default)s")
    parser.add_argument("--metric", help=f"what judges; default the first there of {METRICS}")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    parser.add_argument("--device", choices=DEVICES, help="default a GPU where there is one")
    parser.add_argument("--seconds", type=float, help="begin no training after so many")
    parser.add_argument("--work-dir", type=Path, help="default work_dirs/sweep_NAME_OF_CONFIG")
    add_options(parser)
    parsed = parser.parse_args(arguments)
    for name in ("seeds", "workers"):
        if getattr(parsed, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return parsed


def kept(cfg: Config, folder: Path) -> Path:
    """The config with its options, without a test part, as a file in the folder."""
    check_config(cfg, ("train", "val"))
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(folder / "config.py")
    return folder / "config.py"


def cell_of(config: Path, backbones: list[str], count: int, size: int, seed: int) -> Cell:
    settings = dict(kernel_size=size, kernel_count=count)
    changes = {f"{key}.{name}": value for key in backbones for name, value in settings.items()}
    return Cell(TABLE, "size", f"{count}-in-{size}", seed, config, changes)


def place_of(record: Record) -> tuple[int, int]:
    """The number of elements and the size."""
    count, _, size = record["arm"].partition("-in-")
    return int(count), int(size)


def backbones_of(cfg: Config) -> dict[str, dict]:
    """The settings of all DCLS backbones in the model, by dotted key."""
    found = {
        path: node
        for path, node in nodes("model", cfg.model.to_dict())
        if bare_name(node.get("type", "")) == "DclsConvNeXt"
    }
    if not found:
        raise InputError(
            "The config's model has no mmdcls.DclsConvNeXt, whose kernel_size could be swept; give "
            "the config of a model that has one."
        )
    return found


def check_starts(backbones: dict[str, dict]) -> None:
    """Raise InputError where a backbone starts from elements, which were trained in one size."""
    for path, node in backbones.items():
        start = node.get("init_cfg")
        if not isinstance(start, dict) or bare_name(start.get("type", "")) != "Pretrained":
            continue
        other = f"give --cfg-options {path}.init_cfg=None, or that of a dense ConvNeXt"
        try:
            content = read_checkpoint(start["checkpoint"], start.get("sha256"))
            names = recognise(weights_in(content, start.get("key"))).backbone
        except InputError as error:
            raise InputError(f"{error} To sweep without it, {other}.") from error
        if any(name.rpartition(".")[2] in ("positions", "P") for name in names):
            raise InputError(
                f"{path}.init_cfg: the elements of {start['checkpoint']} were trained in kernels "
                f"of one size, which they would favour; {other}."
            )


def tell(records: list[Record], metric: str | None, folder: Path) -> None:
    metric = chosen_metric(metric, records[0]["validation"])
    finite = [record for record in records if record["validation"][metric] is not None]
    if not finite:
        raise InputError(
            f"No training ended with a finite {metric}: all diverged; lower the rate, or name "
            f"another --metric."
        )
    figures = figures_of(finite, metric)
    text = table_of(finite, figures, metric)
    lost = [f"{one['arm']}, seed {one['seed']}" for one in records if one not in finite]
    if lost:
        text += f"\n\nLeft out, since their {metric} is not finite: {'; '.join(lost)}."
    (folder / "sweep.md").write_text(f"{text}\n")
    draw(figures, metric, folder / "sweep.png")
    print(f"\n{text}\n\n{folder / 'sweep.md'}\n{folder / 'sweep.png'}\n")


def chosen_metric(asked: str | None, metrics: dict[str, float]) -> str:
    known = [name for name in (asked,) if name] or [name for name in METRICS if name in metrics]
    name = known[0] if known else next(iter(metrics), None)
    if name not in metrics or not (known or len(metrics) == 1):
        raise InputError(
            f"The validation gives {', '.join(metrics) or 'no metrics'}; name one of them as "
            f"--metric: what is trained is kept."
        )
    return name


def figures_of(records: Sequence[Record], metric: str) -> Figures:
    figures: Figures = {}
    for record in records:
        count, size = place_of(record)
        of_size = figures.setdefault(count, {}).setdefault(size, {})
        of_size[record["seed"]] = record["validation"][metric]
    return {count: dict(sorted(sizes.items())) for count, sizes in sorted(figures.items())}


def table_of(records: Sequence[Record], figures: Figures, metric: str) -> str:
    """Markdown: means with half of their 95 % intervals, differences to the smallest size paired
    by seed, and what the trainings cost and did to the kernels."""
    values = [record["validation"][metric] for record in records]
    digits = 1 if max(values) > 1 else 3
    rows, said = [], []
    for count, sizes in figures.items():
        smallest = min(sizes)
        for size, seeds in sizes.items():
            same = [record for record in records if place_of(record) == (count, size)]
            paired = None if size == smallest else paired_difference(seeds, sizes[smallest])
            before, after = (means(record[when] for record in same) for when in ("before", "after"))
            adds = same[0]["multiply_adds"]
            rows.append(
                [
                    str(count),
                    str(size),
                    str(len(seeds)),
                    interval_text(t_interval(list(seeds.values())), digits),
                    difference_text(paired, digits),
                    f"{same[0]['parameters']:,}",
                    f"{adds / 1e6:.1f}" if adds else "",
                    f"{1e3 * median(record['seconds_per_step'] for record in same):.0f}",
                    *changes_text(before, after),
                ]
            )
        said.append(
            f"With {count} elements, {smallest_as_good(sizes)} is the smallest size that is not "
            f"shown to be worse than the best."
        )
    header = ["elements", "size", "seeds", metric, "more than at the smallest", "parameters"]
    header += ["million multiply-adds", "ms a step", *KERNEL_FIGURES.values()]
    return "\n\n".join([markdown(header, rows), *said])


def draw(figures: Figures, metric: str, path: Path) -> None:
    """The metric over the size, with 95 % intervals; a line for every count."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="kernel size, cells", ylabel=metric)
    for count, sizes in figures.items():
        intervals = [t_interval(list(seeds.values())) for seeds in sizes.values()]
        axes.errorbar(
            list(sizes),
            [interval.mean for interval in intervals],
            yerr=[interval.half or 0 for interval in intervals],
            fmt="o-",
            capsize=3,
            label=f"{count} elements",
        )
    axes.set_xticks(sorted({size for sizes in figures.values() for size in sizes}))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
