"""Train your config at several kernel sizes, and see where a larger kernel brings nothing more.

    python tools/analysis_tools/sweep_kernel_size.py CONFIG --sizes 7 11 17 23 --seeds 3

Every size, and every number of elements where --counts names several, is trained from the start
under every seed, and judged by the validation at the end of the training. All trainings of a seed
start from the same weights but for their kernels, and draw the same random numbers.

WORK_DIR gets a record of each training, a table and a picture. What is trained already is not
trained again: the same command goes on after it was stopped, and more seeds, sizes or counts are
added; other options train anew, in place of what is there, unless WORK_DIR is another one. Elements
that do not move make all sizes alike; the table says where they stand. A shorter training is
--cfg-options train_cfg.max_iters=N, with the schedule's end beside it.
"""

import argparse
import copy
from collections.abc import Collection, Sequence
from functools import partial
from inspect import signature
from itertools import product
from pathlib import Path
from statistics import median

import matplotlib
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmdcls.checkpoint.files import read_checkpoint
from mmdcls.checkpoint.layouts import recognise, weights_in
from mmdcls.config import add_options, config_at, nodes, without_pretrained
from mmdcls.data.checks import findings_of
from mmdcls.data.findings import Run, refuse
from mmdcls.errors import InputError
from mmdcls.models import DclsConvNeXt
from mmdcls.registry import bare_name
from mmdcls.running.check_config import check_config
from mmdcls.running.check_layers import check_layers
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
from mmdcls.study.training import check_one_validation

matplotlib.use("Agg")
SPLITS = ("train", "val")
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
        counts = parsed.counts or [count_of(backbones)]
        check_starts(cfg, backbones)
        check(cfg, parsed.config.name)
        cell = partial(cell_of, kept(cfg, folder), list(backbones))
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


def check(cfg: Config, name: str) -> None:
    """Raise InputError for what `mmdcls train` refuses, and for what follows validations."""
    check_config(cfg, SPLITS)
    check_one_validation(cfg, name)
    init_default_scope(cfg.get("default_scope", "mmengine"))
    model = MODELS.build(without_pretrained(copy.deepcopy(cfg)).model)
    check_layers(cfg, model)
    refuse(findings_of(Run(cfg, model, SPLITS)), print)


def kept(cfg: Config, folder: Path) -> Path:
    """The config with its options, without a test part, as a file in the folder."""
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


def count_of(backbones: dict[str, dict]) -> int:
    """The number of elements that the config has."""
    default = signature(DclsConvNeXt).parameters["kernel_count"].default
    counts = {path: node.get("kernel_count", default) for path, node in backbones.items()}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{path} {count}" for path, count in counts.items())
        raise InputError(
            f"The backbones have different kernel_count ({each}), and a sweep gives all the same: "
            f"name it by --counts."
        )
    return next(iter(counts.values()))


def check_starts(cfg: Config, backbones: dict[str, dict]) -> None:
    """Raise InputError where a backbone starts from elements, which were trained in one size."""
    for place, start in starts_of(cfg, backbones).items():
        other = f"give --cfg-options {place}=None, or that of a dense ConvNeXt"
        try:
            content = read_checkpoint(start["checkpoint"], start.get("sha256"))
            names = recognise(weights_in(content, start.get("key"))).backbone
        except InputError as error:
            raise InputError(f"{error} To sweep without it, {other}.") from error
        if any(name.rpartition(".")[2] in ("positions", "P") for name in names):
            raise InputError(
                f"{place}: the elements of {start['checkpoint']} were trained in kernels of one "
                f"size, which they would favour; {other}."
            )


def starts_of(cfg: Config, backbones: dict[str, dict]) -> dict[str, dict]:
    """By their place in the config, the checkpoints that a backbone starts from, by itself or as
    part of a model."""
    found = {"load_from": dict(checkpoint=cfg.load_from)} if cfg.get("load_from") else {}
    for path, node in nodes("model", cfg.model.to_dict()):
        if any(f"{backbone}.".startswith(f"{path}.") for backbone in backbones):
            starts = node.get("init_cfg") or []
            for start in [starts] if isinstance(starts, dict) else starts:
                if bare_name(start.get("type", "")) == "Pretrained" and "checkpoint" in start:
                    found[f"{path}.init_cfg"] = start
    return found


def tell(records: list[Record], metric: str | None, folder: Path) -> None:
    # Not every validation tells of all: COCO's tells nothing where nothing is found.
    metrics = {name: None for record in records for name in record["validation"]}
    metric = chosen_metric(metric, metrics)
    finite = [record for record in records if record["validation"].get(metric) is not None]
    if not finite:
        raise InputError(
            f"No training ended with a finite {metric}: all diverged; lower the rate, or name "
            f"another --metric."
        )
    figures = figures_of(finite, metric)
    text = table_of(finite, figures, metric)
    lost = [f"{one['arm']}, seed {one['seed']}" for one in records if one not in finite]
    if lost:
        text += f"\n\nLeft out, since they have no finite {metric}: {'; '.join(lost)}."
    if warned := {line: None for record in records for line in record.get("warnings", ())}:
        text += "\n\nTrainings warned:\n\n" + "\n".join(f"- {line}" for line in warned)
    (folder / "sweep.md").write_text(f"{text}\n")
    draw(figures, metric, folder / "sweep.png")
    print(f"\n{text}\n\n{folder / 'sweep.md'}\n{folder / 'sweep.png'}\n")


def chosen_metric(asked: str | None, metrics: Collection[str]) -> str:
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
        # One seed has no interval, and one size no other.
        if len(sizes) > 1 and min(map(len, sizes.values())) > 1:
            said.append(
                f"With {count} elements, {smallest_as_good(sizes)} is the smallest size that is "
                f"not shown to be worse than the best."
            )
        else:
            said.append(f"With {count} elements, several sizes of several seeds would tell.")
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
