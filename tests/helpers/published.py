"""The published layer, PyPI `dcls==0.1.1`, called with our names and axis order."""

import torch
from DCLS.construct import modules
from torch import Tensor, nn

from helpers.cases import Elements

VERSIONS = {
    "bilinear": "v0",
    "bilinear_normalized": "v1",
    "triangle": "max",
    "gaussian": "gauss",
}
PUBLISHED = {1: modules.Dcls1d, 2: modules.Dcls2d, 3: modules.Dcls3d}


def kernel_axis_of_each_row(version: str, axes: int) -> list[int]:
    """Which kernel axis the rows of the published P and SIG address."""
    if version == "v0":
        return [0, 2, 1][:axes] if axes == 3 else list(range(axes))
    return list(reversed(range(axes)))


def published_layer(
    version: str, size: int | tuple[int, ...], axes: int = 2, channels: int = 1, count: int = 1
) -> nn.Module:
    return PUBLISHED[axes](
        channels, channels, count, dilated_kernel_size=size, groups=channels, version=version
    )


def published_kernel(
    elements: Elements, size: tuple[int, ...], version: str, convert: bool = True
) -> Tensor:
    """Their kernel of our elements; without conversion their rows are ours, as they are."""
    out, in_per_group, count = elements.weight.shape
    construct = (
        modules.ConstructKernel1d,
        modules.ConstructKernel2d,
        modules.ConstructKernel3d,
    )[len(size) - 1](out, in_per_group, 1, count, size, version)
    order = kernel_axis_of_each_row(version, len(size)) if convert else range(len(size))
    rows = torch.stack([elements.positions[axis] for axis in order])
    widths = None
    if elements.sigma is not None:
        widths = torch.stack([elements.sigma[axis] for axis in order])
    return construct(elements.weight, rows, widths)
