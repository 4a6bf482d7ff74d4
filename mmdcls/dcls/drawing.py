"""Pictures of where elements have gone, and of dense kernels; they need matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from .elements import ElementPositions, position_owners
from .groups import position_groups
from .layers import DclsNd
from .position_health import first_positions
from .position_record import chosen
from .positions import position_limits
from .statistics import movement

# Columns are chosen evenly from the first owner to the last where there are more.
MOST_COLUMNS = 8
KERNELS = 3
# Of dense kernels that people know, as frames.
FRAMES = (3, 7)
DPI = 110


def draw_positions(
    model: nn.Module, path: str | Path, start: Mapping[str, Tensor] | None = None
) -> None:
    """Write the picture; raises ValueError where the model has no two-dimensional positions.

    start: `start_positions` of the model before it was trained, to draw the way of every element.
    """
    positions_figure(model, start).savefig(path, dpi=DPI)


def positions_image(model: nn.Module) -> np.ndarray:
    """The picture as (height, width, 3), RGB, 8 bits; raises as `draw_positions`."""
    figure = positions_figure(model)
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def positions_figure(model: nn.Module, start: Mapping[str, Tensor] | None = None) -> Figure:
    """One column for each owner of positions: a stage whose blocks share them, or else a layer.

    On top, how many elements stand in each cell, over all channels; below, dense kernels.
    """
    start = start or {}
    owners, layers = owners_of(model), last_layers(model)
    columns = [owners[i] for i in chosen(len(owners), MOST_COLUMNS)]
    size = (0.6 + 2.6 * len(columns), 2.75 * (1 + KERNELS))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1 + KERNELS, len(columns), squeeze=False)
    for (name, owner), (top, *below) in zip(columns, axes.T, strict=True):
        first = first_positions(name, owner, start) if name in start else None
        counts = draw_density(top, owner)
        top.set_title(f"{name}\n{mean_distance(owner, first)}", fontsize=9)
        add_scale(figure, counts, top)
        layer = layers.get(owner)
        kernels = [] if layer is None else dense_kernels(owner, layer)
        for ax in below[len(kernels) :]:
            ax.set_axis_off()
        for ax, channel in zip(below, chosen(len(kernels), KERNELS), strict=False):
            add_scale(figure, draw_kernel(ax, layer, owner, kernels, channel), ax)
            if first is not None:
                draw_ways(ax, owner, first, channel)
            ax.set_title(f"kernel {channel} of its last layer", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel("rows from the centre", fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("columns from the centre", fontsize=8)
    figure.supxlabel(
        "top: how many elements stand in each cell, over all channels; frames: 3x3 and 7x7\n"
        "below: dense kernels, each with a scale of its own for the weight of a cell;\n"
        "each circle is an element, its size the weight"
        + ("\nand its line the way from where it started" if start else ""),
        fontsize=7,
    )
    return figure


def owners_of(model: nn.Module) -> list[tuple[str, ElementPositions]]:
    owners = [
        (name, owner) for name, owner in position_owners(model).items() if len(owner.extents) == 2
    ]
    if not owners:
        raise ValueError(
            f"{type(model).__name__} has no two-dimensional DCLS layer: there is nothing to draw"
        )
    return owners


def limits(extents: Sequence[int]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top edge of a kernel, in cells from its centre."""
    height, width = extents
    left, top = -(width // 2) - 0.5, -(height // 2) - 0.5
    return left, left + width, top + height, top


def mean_distance(owner: ElementPositions, start: Tensor | None) -> str:
    """From where the elements started, or else from the centre."""
    if start is None:
        return f"mean distance {owner.positions.detach().norm(dim=0).mean():.1f} cells"
    moved = movement(owner.positions, start.to(owner.positions.device))
    return f"moved by {moved.mean():.2f} cells"


def draw_density(ax: Axes, owner: ElementPositions) -> AxesImage:
    """How many elements stand in each cell of the kernel, over all channels; logarithmic."""
    counts = cell_counts(array(owner.positions.flatten(1)), owner.extents)
    return draw_counts(ax, counts, counts.max())


def cell_counts(offsets: np.ndarray, extents: Sequence[int]) -> np.ndarray:
    """Of offsets (2, elements), how many lie in each cell of the kernel."""
    left, right, bottom, top = limits(extents)
    ranges = [[top, bottom], [left, right]]
    return np.histogram2d(*offsets, bins=tuple(extents), range=ranges)[0]


def draw_counts(ax: Axes, counts: np.ndarray, most: float) -> AxesImage:
    """Of the cells of a kernel; most: where the colours end."""
    norm = SymLogNorm(1, vmin=0, vmax=max(most, 1))
    image = ax.imshow(counts, cmap="magma", norm=norm, extent=limits(counts.shape))
    draw_frames(ax, counts.shape, "white")
    cells_as_ticks(ax, counts.shape)
    return image


def last_layers(model: nn.Module) -> dict[ElementPositions, DclsNd]:
    """The last layer that uses the positions of each owner."""
    groups = position_groups(model)
    return {group.owner: list(group.layers.values())[-1] for group in groups if group.layers}


@torch.no_grad()
def dense_kernels(owner: ElementPositions, layer: DclsNd) -> np.ndarray:
    """Kernels of a layer that uses these positions, (slices, height, width)."""
    return array(layer.kernel(owner.shares()).reshape(-1, *owner.extents))


def array(tensor: Tensor) -> np.ndarray:
    """A copy: FSDP cannot free memory that numpy has seen."""
    return tensor.detach().cpu().float().clone().numpy()


def draw_kernel(
    ax: Axes, layer: DclsNd, owner: ElementPositions, kernels: np.ndarray, index: int
) -> AxesImage:
    """A dense kernel, with a dot at each of its elements as large as its weight."""
    kernel = kernels[index]
    reach = np.abs(kernel).max() or 1.0
    image = ax.imshow(kernel, cmap="RdBu_r", vmin=-reach, vmax=reach, extent=limits(owner.extents))
    rows, columns = array(owner.positions.flatten(1, 2)[:, index])
    weights = array(layer.weight.flatten(0, 1)[index].abs())
    sizes = 3 + 15 * weights / (weights.max() or 1.0)
    ax.scatter(columns, rows, s=sizes, facecolors="none", edgecolors="black", linewidths=0.6)
    draw_frames(ax, owner.extents, "grey")
    cells_as_ticks(ax, owner.extents)
    return image


def draw_frames(ax: Axes, extents: Sequence[int], color: str) -> None:
    """The outlines of dense kernels that are smaller than this one."""
    for side in FRAMES:
        if side < max(extents):
            height, width = (min(side, extent) for extent in extents)
            corner = (-(width // 2) - 0.5, -(height // 2) - 0.5)
            frame = Rectangle(corner, width, height, fill=False, color=color, linewidth=0.8)
            ax.add_patch(frame)


def draw_ways(ax: Axes, owner: ElementPositions, start: Tensor, index: int) -> None:
    """A line for each element of a kernel, from where it started to where it stands."""
    ends = [array(positions.flatten(1, 2)[:, index]) for positions in (start, owner.positions)]
    rows, columns = np.stack(ends, axis=1)
    ax.plot(columns, rows, color="black", linewidth=0.6)


def add_scale(figure: Figure, image: AxesImage, axes: Axes | Sequence[Axes]) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.ax.tick_params(labelsize=6)


def cells_as_ticks(ax: Axes, extents: Sequence[int]) -> None:
    for size, set_ticks in zip(extents, (ax.set_yticks, ax.set_xticks), strict=True):
        set_ticks(sorted({*position_limits(size), 0}))
    ax.tick_params(labelsize=6, length=2)
    ax.spines[:].set_linewidth(0.4)


def bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_linewidth(0.4)
