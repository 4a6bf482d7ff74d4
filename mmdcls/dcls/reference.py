"""The slow truth: plain loops in float64, for any number of axes. Everything else answers to it."""

from itertools import product
from math import floor

import torch
from torch import Tensor

WIDTH_FLOOR = {"triangle": 1.0, "gaussian": 0.27}
NORMALIZED = ("bilinear_normalized", "triangle", "gaussian")


def share(
    interpolation: str, cell: int, position: Tensor, size: int, width: Tensor | None
) -> Tensor:
    """What one cell of one axis receives of an element. Cell and position count from 0."""
    if position.isnan():
        return position
    if interpolation in ("bilinear", "bilinear_normalized"):
        lower = min(floor(position.item()), max(size - 2, 0))
        if cell == lower:
            return 1 - (position - lower)
        return position - lower if cell == lower + 1 else torch.zeros_like(position)
    if interpolation == "triangle":
        return torch.maximum(width - abs(cell - position), torch.zeros_like(position))
    if interpolation == "gaussian":
        return torch.exp(-(((cell - position) / width) ** 2) / 2)
    raise ValueError(f"interpolation={interpolation!r} is unknown")


def construct_kernel(
    weight: Tensor,
    positions: Tensor,
    sigma: Tensor | None,
    kernel_size: tuple[int, ...],
    interpolation: str,
) -> Tensor:
    """As `mmdcls.dcls.construct_kernel`, one element and one cell at a time, in float64."""
    weight, positions = weight.double(), positions.double()
    cells = list(product(*map(range, kernel_size)))
    slices = []
    for o, i in product(*map(range, weight.shape[:2])):
        kernel = dict.fromkeys(cells, 0.0)
        for k in range(weight.shape[2]):
            shares = dict.fromkeys(cells, 1.0)
            for axis, size in enumerate(kernel_size):
                offset = positions[axis, o, i, k]
                border = offset.detach().clamp(-(size // 2), size - 1 - size // 2)
                # Infinity less infinity is NaN.
                slope = (offset - offset.detach()).nan_to_num()
                position = size // 2 + border + slope
                width = None
                if interpolation in WIDTH_FLOOR:
                    stored = sigma[axis, o, i, k].double()
                    width = WIDTH_FLOOR[interpolation] + (-stored if stored < 0 else stored)
                for cell in cells:
                    value = share(interpolation, cell[axis], position, size, width)
                    shares[cell] = shares[cell] * value
            scale = 1.0
            if interpolation in NORMALIZED:
                scale = 1 / (sum(shares.values()) + 1e-7)
            for cell in cells:
                kernel[cell] = kernel[cell] + weight[o, i, k] * shares[cell] * scale
        slices.append(torch.stack([kernel[cell] for cell in cells]))
    return torch.stack(slices).reshape(*weight.shape[:2], *kernel_size)
