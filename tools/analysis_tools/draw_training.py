"""Draw the loss of a run, its metric on the held-out data, and how its positions fared.

    python tools/analysis_tools/draw_training.py WORK_DIR --out training.png
    python tools/analysis_tools/draw_training.py WORK_DIR --metric mIoU --health movement width

Reads vis_data/scalars.json of the newest run in the folder, which every config of ours writes.
"""

import argparse
import json
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("Agg")
# The first of these that a run has, and of the figures of positions all that it has.
METRICS = (["mIoU"], ["coco/bbox_mAP", "coco/segm_mAP"], ["coco/bbox_mAP"], ["accuracy/top1"])
HEALTH = {
    "movement": "distance from\nthe start (cells)",
    "at_border": "share\nat the border",
    "near_another": "share close\nto another",
    "outside_7x7": "share of weight\noutside 7x7",
}
LEAST_RANGE = 0.1
# Under which PositionHealth writes them, as positions/STAGE/FIGURE.
TAG = "positions/"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work_dir", type=Path, help="folder that a training wrote")
    parser.add_argument("--metric", nargs="+", help="names as in the log; default what there is")
    parser.add_argument(
        "--health",
        nargs="*",
        metavar="FIGURE",
        help=f"figures of positions, as in docs/positions.md; default {', '.join(HEALTH)}",
    )
    parser.add_argument("--out", type=Path, default=Path("training.png"), help="picture to write")
    parsed = parser.parse_args(arguments)
    draw_training(parsed.work_dir, parsed.metric, parsed.out, parsed.health)
    print(f"loss curve: {parsed.out}")


def draw_training(
    work_dir: Path, metrics: list[str] | None, path: Path, health: list[str] | None = None
) -> None:
    """Write the picture; exits with a sentence where there is no run, or not in it what is named.

    metrics, health: None for what the run has of METRICS and HEALTH; none at all for an empty list.
    """
    runs = sorted(work_dir.glob("*/vis_data/scalars.json"))
    if not runs:
        raise SystemExit(f"{work_dir} holds no run: no */vis_data/scalars.json there")
    lines = [json.loads(line) for line in runs[-1].read_text().splitlines()]
    if metrics is None:
        known = (names for names in METRICS if all(curve(lines, name) for name in names))
        metrics = next(known, [])
    figures = health_of(lines)
    for kind, names, there in (
        ("metric", metrics, {name for line in lines for name in line}),
        ("figure", health or [], figures),
    ):
        if absent := [name for name in names if name not in there]:
            raise SystemExit(f"{kind} {absent[0]} is not in {runs[-1]}; there are {sorted(there)}")
    shown = [name for name in HEALTH if name in figures] if health is None else health
    figure = Figure(figsize=(6.4, 3.4 + 1.5 * len(shown)), layout="constrained")
    ratios = [3, *(1.4 for _ in shown)]
    top, *below = figure.subplots(
        1 + len(shown), squeeze=False, sharex=True, height_ratios=ratios
    ).flat
    draw_loss(top, lines, metrics)
    for ax, name in zip(below, shown, strict=True):
        for stage, values in figures[name].items():
            ax.plot(*zip(*values, strict=True), label=stage)
        ax.set_ylabel(HEALTH.get(name, name), fontsize=8)
        # Or else two elements of a thousand would look like many.
        ax.set_ylim(0, max(LEAST_RANGE, ax.get_ylim()[1]))
    if below:
        handles = below[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, fontsize=7)
    (below or [top])[-1].set_xlabel("iteration")
    figure.align_ylabels()
    figure.savefig(path, dpi=110)


def curve(lines: list[dict], name: str) -> list[tuple[int, float]]:
    return [(line["step"], line[name]) for line in lines if name in line]


def health_of(lines: list[dict]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """By figure and stage."""
    tags = dict.fromkeys(name for line in lines for name in line if name.startswith(TAG))
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for tag in tags:
        stage, _, figure = tag.removeprefix(TAG).rpartition("/")
        found.setdefault(figure, {})[stage] = curve(lines, tag)
    return found


def draw_loss(left: Axes, lines: list[dict], metrics: list[str]) -> None:
    curves = left.plot(
        *zip(*curve(lines, "loss"), strict=True), color="0.55", label="training loss"
    )
    left.set_ylabel("training loss")
    left.set_ylim(bottom=0)
    if not metrics:
        return
    right = left.twinx()
    for metric in metrics:
        values = curve(lines, metric)
        unit = " (%)" if max(value for _, value in values) > 1 else ""
        options = dict(marker="o", markersize=4, label=f"{metric}{unit}")
        curves += right.plot(*zip(*values, strict=True), **options)
    right.set_ylabel("metric on the held-out data")
    right.set_ylim(0, 1.1 * right.get_ylim()[1])
    right.legend(handles=curves, loc="lower right", frameon=False)


if __name__ == "__main__":
    main()
