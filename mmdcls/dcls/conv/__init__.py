"""Dense kernel -> convolution, for one to three axes."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..geometry import geometry_of, sides_of
from .framework import plain
from .operators import depthwise, depthwise_why_not


def convolve_as(module: nn.Module, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with a dense kernel as the `nn.ConvNd` of the module's attributes does."""
    stride, padding, dilation = geometry_of(module)
    sides = sides_of(padding, module.kernel_size, dilation)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return convolve(x, kernel, bias, stride, sides, mode, module.groups, dilation)


def convolve(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    padding_mode: str,
    groups: int,
    dilation: tuple[int, ...] = (1,),
) -> Tensor:
    """Convolve with a dense kernel.

    padding       cells before and after, per axis
    padding_mode  "constant" (zeros), "reflect", "replicate" or "circular"
    """
    x, amount = padded(x, padding, padding_mode)
    reason = depthwise_why_not(x, kernel, groups, bias, stride, amount, dilation)
    if reason is None:
        return depthwise(x, kernel, bias, stride, amount)
    return plain(x, kernel, bias, stride, amount, groups, dilation)


def padded(
    x: Tensor, padding: tuple[tuple[int, int], ...], padding_mode: str
) -> tuple[Tensor, tuple[int, ...]]:
    """What is convolved, and the zeros around it that the convolution itself adds."""
    if padding_mode == "constant" and all(before == after for before, after in padding):
        return x, tuple(before for before, _ in padding)
    sides = [cells for before_after in reversed(padding) for cells in before_after]
    return F.pad(x, sides, mode=padding_mode), (0,) * len(padding)
