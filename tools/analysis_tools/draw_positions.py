"""Draw where a trained model's elements have gone, and some of its dense kernels.

    python tools/analysis_tools/draw_positions.py CONFIG CHECKPOINT --out positions.png

One column for each owner of positions: a stage whose blocks share them, or else a single layer.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from torch import nn

from mmdcls.dcls import DclsNd, ElementPositions

matplotlib.use("Agg")
# Columns are chosen evenly from the first owner to the last where there are more.
MOST_COLUMNS = 8
KERNELS = 3


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", help="config of the model, segmentor or detector")
    parser.add_argument("checkpoint", help="checkpoint of the model")
    parser.add_argument("--out", type=Path, default=Path("positions.png"), help="picture to write")
    parsed = parser.parse_args(arguments)
    cfg = Config.fromfile(parsed.config)
    init_default_scope(cfg.get("default_scope", "mmengine"))
    model = MODELS.build(cfg.model)
    load_checkpoint(model, parsed.checkpoint, map_location="cpu")
    draw_positions(model, parsed.out)
    print(f"learned positions: {parsed.out}")


def draw_positions(model: nn.Module, path: Path) -> None:
    """Write the picture; raises ValueError where the model has no two-dimensional positions."""
    owners = owners_of(model)
    columns = [owners[i] for i in chosen(len(owners), MOST_COLUMNS)]
    figure = Figure(figsize=(2.6 * len(columns), 2.7 * (1 + KERNELS)), layout="constrained")
    axes = figure.subplots(1 + KERNELS, len(columns), squeeze=False)
    for (name, owner), (top, *below) in zip(columns, axes.T, strict=True):
        draw_density(top, owner)
        top.set_title(f"{name}\n{moved(owner)}", fontsize=9)
        layer, kernels = dense_kernels(owner)
        for ax, channel in zip(below, chosen(len(kernels), KERNELS), strict=False):
            draw_kernel(ax, layer, owner, kernels, channel)
            ax.set_xlabel(f"a kernel of channel {channel}", fontsize=8)
    figure.savefig(path, dpi=110)


def owners_of(model: nn.Module) -> list[tuple[str, ElementPositions]]:
    owners = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, ElementPositions)
        and module.positions is not None
        and len(module.kernel_size) == 2
    ]
    if not owners:
        raise ValueError(
            f"{type(model).__name__} has no two-dimensional DCLS layer: there is nothing to draw"
        )
    return owners


def chosen(count: int, most: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


def limits(owner: ElementPositions) -> tuple[float, float, float, float]:
    """Left, right, bottom and top edge of the kernel, in cells from its centre."""
    height, width = owner.kernel_size
    left, top = -(width // 2) - 0.5, -(height // 2) - 0.5
    return left, left + width, top + height, top


def moved(owner: ElementPositions) -> str:
    distance = owner.positions.detach().norm(dim=0).mean().item()
    return f"mean distance {distance:.1f} cells"


def draw_density(ax: Axes, owner: ElementPositions) -> None:
    """How often each cell of the kernel is occupied, over all channels; logarithmic."""
    rows, columns = owner.positions.detach().flatten(1).double().numpy()
    left, right, bottom, top = limits(owner)
    height, width = owner.kernel_size
    ranges = [[top, bottom], [left, right]]
    counts, *_ = np.histogram2d(rows, columns, bins=(height, width), range=ranges)
    ax.imshow(np.log1p(counts), cmap="magma", extent=limits(owner))
    bare(ax)


@torch.no_grad()
def dense_kernels(owner: ElementPositions) -> tuple[DclsNd, np.ndarray]:
    """The last layer that uses these positions, and its kernels, (slices, height, width)."""
    layers = [module for module in owner.modules() if isinstance(module, DclsNd)]
    layer = layers[-1]
    kernel = layer.kernel() if layer is owner else layer.kernel(owner.shares())
    return layer, kernel.flatten(0, 1).float().numpy()


def draw_kernel(
    ax: Axes, layer: DclsNd, owner: ElementPositions, kernels: np.ndarray, index: int
) -> None:
    """A dense kernel, with a dot at each of its elements as large as its weight."""
    kernel = kernels[index]
    reach = np.abs(kernel).max() or 1.0
    ax.imshow(kernel, cmap="RdBu_r", vmin=-reach, vmax=reach, extent=limits(owner))
    rows, columns = owner.positions.detach().flatten(1, 2)[:, index].numpy()
    weights = layer.weight.detach().flatten(0, 1)[index].abs().numpy()
    sizes = 3 + 15 * weights / (weights.max() or 1.0)
    ax.scatter(columns, rows, s=sizes, facecolors="none", edgecolors="black", linewidths=0.6)
    bare(ax)


def bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_linewidth(0.4)


if __name__ == "__main__":
    main()
