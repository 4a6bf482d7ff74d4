"""Draw the pictures of docs/method.md from the code that they explain.

python tools/draw_method.py [FOLDER]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mmdcls.dcls import INTERPOLATIONS, construct_kernel, position_limits

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = 9
# Where the element of the first picture stands, in cells from the centre.
POSITION = 1.3
# In cells; one curve each where an interpolation has widths.
WIDTHS = (0.5, 1.0, 2.0)
# Of the two-dimensional kernels: weight, row, column.
ELEMENTS = ((1.0, -2.6, -1.5), (-0.8, 0.5, 2.25), (0.6, 2.0, -2.0))
COLOURS = ("#4c72b0", "#dd8452", "#55a868")


def widths_of(name: str) -> tuple[float | None, ...]:
    floor = INTERPOLATIONS[name].width_floor
    return (None,) if floor is None else tuple(w for w in WIDTHS if w >= floor)


def kernel_of(
    name: str, weight: Tensor, positions: Tensor, kernel_size: tuple[int, ...], width: float | None
) -> Tensor:
    """Dense kernels, (slices, *kernel_size).

    weight is (slices, count), positions (axes, slices, count), width that of all, in cells.
    """
    sigma = None
    if width is not None:
        sigma = torch.full_like(positions, width - INTERPOLATIONS[name].width_floor)[:, :, None]
    return construct_kernel(weight[:, None], positions[:, :, None], sigma, kernel_size, name)[:, 0]


def shares(name: str, positions: Tensor, width: float | None) -> Tensor:
    """(positions, SIZE): of an element of weight one at each of them, along one axis."""
    positions = positions[None, :, None]
    return kernel_of(name, torch.ones_like(positions[0]), positions, (SIZE,), width)


def slopes(name: str, positions: Tensor, width: float | None) -> Tensor:
    """How fast the centre cell's share changes as the element moves."""
    positions = positions.clone().requires_grad_()
    centre = shares(name, positions, width)[:, SIZE // 2].sum()
    return torch.autograd.grad(centre, positions)[0]


def panels(rows: int, height: float) -> tuple[Figure, Sequence[Sequence[Axes]]]:
    figure = Figure(figsize=(11, height), layout="constrained")
    axes = figure.subplots(rows, len(INTERPOLATIONS), sharey="row", squeeze=False)
    for ax, name in zip(axes[0], INTERPOLATIONS, strict=True):
        ax.set_title(name, fontsize=10)
    return figure, axes


def label_of(width: float | None) -> str | None:
    return None if width is None else f"width {width:g}"


def draw_shares() -> Figure:
    figure, (axes,) = panels(1, 2.6)
    low, high = position_limits(SIZE)
    cells = range(low, high + 1)
    for ax, name in zip(axes, INTERPOLATIONS, strict=True):
        widths = widths_of(name)
        for index, width in enumerate(widths):
            (heights,) = shares(name, torch.tensor([POSITION]), width).tolist()
            wide = 0.8 / len(widths)
            middles = [cell + wide * (index - (len(widths) - 1) / 2) for cell in cells]
            ax.bar(middles, heights, wide, color=COLOURS[index], label=label_of(width))
        ax.axvline(POSITION, color="black", linewidth=0.8, linestyle="--")
        ax.set_xticks(cells)
        ax.set_xlabel("cell, from the centre", fontsize=8)
        ax.tick_params(labelsize=7)
        if INTERPOLATIONS[name].has_sigma:
            ax.legend(fontsize=7, frameon=False, loc="upper left")
    axes[0].set_ylabel("share of the element", fontsize=8)
    return figure


def draw_slopes() -> Figure:
    figure, (above, below) = panels(2, 4.2)
    low, high = position_limits(SIZE)
    # Off the kinks, which are at whole cells.
    positions = torch.arange(low + 0.005, high, 0.01)
    for name, top, bottom in zip(INTERPOLATIONS, above, below, strict=True):
        for width, colour in zip(widths_of(name), COLOURS, strict=False):
            centre = shares(name, positions, width)[:, SIZE // 2]
            top.plot(positions.numpy(), centre.numpy(), color=colour, label=label_of(width))
            slope = slopes(name, positions, width)
            bottom.plot(positions.numpy(), slope.numpy(), color=colour)
        if INTERPOLATIONS[name].has_sigma:
            top.legend(fontsize=7, frameon=False, loc="upper left")
        bottom.axhline(0, color="black", linewidth=0.5)
        bottom.set_xlabel("where the element stands, cells", fontsize=8)
        for ax in (top, bottom):
            ax.tick_params(labelsize=7)
    above[0].set_ylabel("share of the centre cell", fontsize=8)
    below[0].set_ylabel("its slope", fontsize=8)
    return figure


def draw_kernels() -> Figure:
    figure, (axes,) = panels(1, 3.0)
    weight, *positions = torch.tensor(ELEMENTS).T
    low, high = position_limits(SIZE)
    for ax, name in zip(axes, INTERPOLATIONS, strict=True):
        width = widths_of(name)[-2 if name == "gaussian" else -1]
        kernel = kernel_of(name, weight[None], torch.stack(positions)[:, None], (SIZE, SIZE), width)
        image = ax.imshow(
            kernel[0].numpy(),
            cmap="RdBu_r",
            vmin=-0.6,
            vmax=0.6,
            extent=(low - 0.5, high + 0.5, high + 0.5, low - 0.5),
        )
        rows, columns = positions
        sizes = (80 * weight.abs()).tolist()
        ax.scatter(columns.tolist(), rows.tolist(), s=sizes, facecolors="none", edgecolors="black")
        if width is not None:
            ax.set_title(f"{name}, {label_of(width)}", fontsize=10)
        ax.set_xticks((low, 0, high))
        ax.set_yticks((low, 0, high))
        ax.tick_params(labelsize=7)
    axes[0].set_ylabel("rows from the centre", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.8, pad=0.01).ax.tick_params(labelsize=7)
    return figure


PICTURES = {"shares": draw_shares, "slopes": draw_slopes, "kernels": draw_kernels}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder = parser.parse_args(arguments).folder
    for name, draw in PICTURES.items():
        draw().savefig(folder / f"method_{name}.png", dpi=110)


if __name__ == "__main__":
    main()
