"""Draw the loss of a run, and its metric on the held-out data.

    python tools/analysis_tools/draw_training.py WORK_DIR --metric mIoU --out training.png

Reads vis_data/scalars.json of the newest run in the folder, which every config of ours writes.
"""

import argparse
import json
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("Agg")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work_dir", type=Path, help="folder that a training wrote")
    parser.add_argument("--metric", nargs="+", default=["mIoU"], help="names as in the log")
    parser.add_argument("--out", type=Path, default=Path("training.png"), help="picture to write")
    parsed = parser.parse_args(arguments)
    draw_training(parsed.work_dir, parsed.metric, parsed.out)
    print(f"loss curve: {parsed.out}")


def draw_training(work_dir: Path, metrics: list[str], path: Path) -> None:
    """Write the picture; exits with a sentence where there is no run, or no such metric in it."""
    runs = sorted(work_dir.glob("*/vis_data/scalars.json"))
    if not runs:
        raise SystemExit(f"{work_dir} holds no run: no */vis_data/scalars.json there")
    lines = [json.loads(line) for line in runs[-1].read_text().splitlines()]
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    left = figure.subplots()
    loss = left.plot(*zip(*losses, strict=True), color="0.55", label="training loss")
    left.set_xlabel("iteration")
    left.set_ylabel("training loss")
    left.set_ylim(bottom=0)
    right = left.twinx()
    curves = [*loss]
    for metric in metrics:
        values = [(line["step"], line[metric]) for line in lines if metric in line]
        if not values:
            raise SystemExit(f"metric {metric} is not in {runs[-1]}")
        unit = " (%)" if max(value for _, value in values) > 1 else ""
        options = dict(marker="o", markersize=4, label=f"{metric}{unit}")
        curves += right.plot(*zip(*values, strict=True), **options)
    right.set_ylabel("metric on the held-out data")
    right.set_ylim(0, 1.1 * right.get_ylim()[1])
    right.legend(handles=curves, loc="lower right", frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
