"""A picture of positions in the course of a training; it needs matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .drawing import (
    DPI,
    MOST_COLUMNS,
    add_scale,
    array,
    cell_counts,
    cells_as_ticks,
    draw_counts,
    draw_frames,
    limits,
)
from .position_record import MOST_KERNELS, Kernels, Record, chosen

# Beside them is a column for the ways.
MOST_STEPS = 6


def draw_positions_over_time(record: Record, path: str | Path) -> None:
    """Write the picture: a row for each owner of positions, a column for each time.

    Raises ValueError where the record has fewer than two times, or no positions.
    """
    positions_over_time_figure(record).savefig(path, dpi=DPI)


def positions_over_time_figure(record: Record) -> Figure:
    steps = sorted(record)
    names = list(record[steps[0]]) if steps else []
    if len(steps) < 2 or not names:
        raise ValueError(
            f"positions over time need two times at least, of kernels with two axes; the record "
            f"has {len(steps)}, of {len(names)} owners of positions"
        )
    names = [names[i] for i in chosen(len(names), MOST_COLUMNS)]
    shown = [steps[i] for i in chosen(len(steps), MOST_STEPS)]
    size = (0.9 + 2.1 * (len(shown) + 1), 0.8 + 2.25 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(names), len(shown) + 1, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        kernels = {step: record[step][name] for step in steps}
        draw_times(figure, row[:-1], [kernels[step] for step in shown])
        draw_way(row[-1], list(kernels.values()))
        row[0].set_ylabel(f"{name}\nrows from the centre", fontsize=8)
    for ax, step in zip(axes[0], shown, strict=False):
        ax.set_title(f"{iterations(step)}\n{ax.get_title()}", fontsize=8)
    axes[0, -1].set_title("ways in one kernel", fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("columns from the centre", fontsize=8)
    figure.supxlabel(
        f"how many elements stand in each cell, of up to {MOST_KERNELS} kernels of each owner; "
        "frames: 3x3 and 7x7; moved: mean distance from the first time, in cells\n"
        "right: each element of one kernel, from where it stood first (ring) to where last (dot)",
        fontsize=7,
    )
    return figure


def iterations(step: int) -> str:
    return f"after {step} iterations" if step else "at the start"


def draw_times(figure: Figure, row: Sequence[Axes], times: Sequence[Kernels]) -> None:
    """One panel for each time, in the same colours."""
    counts = [cell_counts(array(at.offsets.flatten(1)), at.extents) for at in times]
    most = max(cells.max() for cells in counts)
    for ax, cells, at in zip(row, counts, times, strict=True):
        image = draw_counts(ax, cells, most)
        moved = (at.offsets - times[0].offsets).norm(dim=0).mean()
        ax.set_title("" if at is times[0] else f"moved {moved:.2f}", fontsize=8)
    add_scale(figure, image, row)


def draw_way(ax: Axes, times: Sequence[Kernels]) -> None:
    """The elements of one kernel, through all times."""
    # (times, axes, elements)
    rows, columns = np.stack([array(at.offsets[:, 0]) for at in times]).swapaxes(0, 1)
    colours = [f"C{index}" for index in range(rows.shape[1])]
    ax.plot(columns, rows, linewidth=0.8)
    ax.scatter(columns[0], rows[0], s=10, facecolors="none", edgecolors=colours, linewidths=0.6)
    ax.scatter(columns[-1], rows[-1], s=8, c=colours)
    left, right, bottom, top = limits(times[0].extents)
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    draw_frames(ax, times[0].extents, "grey")
    cells_as_ticks(ax, times[0].extents)
