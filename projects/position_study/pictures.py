"""A picture of each table: differences as a forest, rates as curves, sizes and counts as a map."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmdcls.study.statistics import Interval
from projects.position_study.summaries import Row
from projects.position_study.tables import COUNTS, DATA, RATES, SIZES, SPREADS, Table

DPI = 110
# In inches, and the letters of a name for which a panel has room.
LETTER, LINE, USUAL_NAME = 0.065, 0.22, 20


def draw(table: Table, rows: list[Row], path: Path) -> None:
    """One panel for each data set."""
    drawing, (width, height) = PICTURES[table.picture]
    shown = [data for data in DATA if any(row.data == data for row in rows)]
    width *= len(shown)
    if table.picture == "forest":
        # Names stand once, at the left.
        width += LETTER * max(0, max(map(len, table.arms)) - USUAL_NAME)
        height = max(height, LINE * len(table.arms))
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=table.picture == "forest")
    for axes, data in zip(panels[0], shown, strict=True):
        drawing(axes, table, [row for row in rows if row.data == data])
        axes.set_title(DATA[data].title, fontsize=10)
        axes.tick_params(labelsize=8)
    if table.picture == "curve":
        named = panels[0, 0].get_legend_handles_labels()
        figure.legend(*named, fontsize=8, loc="outside right center")
    figure.savefig(path, dpi=DPI)


def forest(axes: Axes, table: Table, rows: list[Row]) -> None:
    others = [arm for arm in table.arms if arm != table.reference]
    for row in rows:
        if row.difference:
            interval = row.difference.interval
            options = dict(fmt="o", color="C0", capsize=3, markersize=5)
            axes.errorbar(interval.mean, others.index(row.arm), xerr=interval.half, **options)
    axes.axvline(0, color="0.6", linewidth=1)
    axes.set_yticks(range(len(others)), others)
    axes.set_ylim(len(others) - 0.5, -0.5)
    between = "\n" if len(table.reference) > USUAL_NAME else " "
    axes.set_xlabel(f"points more than{between}{table.reference}", fontsize=8)


def curve(axes: Axes, table: Table, rows: list[Row]) -> None:
    """A line for every spread; hollow marks are with repulsion."""
    rates = list(RATES)
    for index, spread in enumerate(SPREADS):
        # Side by side, so that intervals do not hide each other.
        shift = 0.12 * (index - 1)
        for repulsion in (0.0, 1.0):
            points = []
            for row in rows:
                factors = table.arms[row.arm].factors
                wanted = factors["spread"] == spread and factors["repulsion"] == repulsion
                if wanted and (row.difference or row.arm == table.reference):
                    interval = row.difference.interval if row.difference else Interval(0, None, 0)
                    points.append((rates.index(factors["rate"]) + shift, interval))
            axes.errorbar(
                [place for place, _ in points],
                [interval.mean for _, interval in points],
                yerr=[interval.half or 0 for _, interval in points],
                fmt="s" if repulsion else "o-",
                markerfacecolor="white" if repulsion else f"C{index}",
                color=f"C{index}",
                capsize=2,
                markersize=5,
                label=None if repulsion else spread,
            )
    axes.plot([], [], "s", markerfacecolor="white", color="0.4", markersize=5, label="repelled")
    axes.axhline(0, color="0.6", linewidth=1)
    axes.set_xticks(range(len(rates)), rates, rotation=30)
    axes.set_ylabel(f"points more than {table.reference}", fontsize=8)


def heat_map(axes: Axes, table: Table, rows: list[Row]) -> None:
    values = np.full((len(COUNTS), len(SIZES)), np.nan)
    texts = {}
    for row in rows:
        if row.difference or row.arm == table.reference:
            factors = table.arms[row.arm].factors
            place = COUNTS.index(factors["count"]), SIZES.index(factors["size"])
            # Differences are paired, where arms may have been trained under more seeds or fewer.
            interval = row.difference.interval if row.difference else Interval(0, None, 0)
            values[place] = interval.mean
            texts[place] = f"{interval.mean:+.1f}" if row.difference else "0"
            texts[place] += "" if interval.half is None else f"\n±{interval.half:.1f}"
    axes.imshow(values, cmap="viridis", origin="lower", aspect="auto")
    shown = values[np.isfinite(values)]
    middle = (shown.min() + shown.max()) / 2 if shown.size else 0.0
    for (y, x), text in texts.items():
        colour = "white" if values[y, x] < middle else "black"
        axes.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(SIZES)), SIZES)
    axes.set_yticks(range(len(COUNTS)), COUNTS)
    said = f"kernel size, cells; points more than {table.reference}"
    axes.set_xlabel(said, fontsize=8)
    axes.set_ylabel("elements", fontsize=8)


# The drawing of a panel, and its size in inches.
PICTURES: dict[str, tuple[Callable[[Axes, Table, list[Row]], None], tuple[float, float]]] = dict(
    forest=(forest, (3.2, 2.8)), curve=(curve, (3.4, 3.4)), map=(heat_map, (3.4, 2.8))
)
