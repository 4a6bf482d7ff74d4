"""Depthwise convolution of volumes by planes: two of the ways.

Each tap of the kernel's first axis is a kernel of two axes, and meets all frames at once as a batch
of maps. What it makes of them, moved by its place in the kernel, is summed. Maps go by the fastest
way of two axes.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .crossovers import Call, call_of
from .framework import plain
from .layout import frames


def values_by_taps(
    choose: Callable[[str, Call], Callable[..., Tensor]],
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
) -> Tensor:
    """choose: the way of a computation on maps."""
    sizes = zip(x.shape[2:], kernel.shape[2:], stride, padding, strict=True)
    length, *size = ((size + 2 * p - cells) // s + 1 for size, cells, s, p in sizes)
    if min(length, *size) < 1:
        # The framework refuses what is smaller than the kernel.
        return plain(x, kernel, bias, stride, padding, x.shape[1])
    # Maps of half precision are summed in float32.
    wide = torch.promote_types(x.dtype, torch.float32)
    y = x.new_zeros(length, len(x), *size, x.shape[1], dtype=wide)
    y = (y if bias is None else y.add_(bias)).permute(1, 4, 0, 2, 3)
    for tap, seen, met in frames_met(x.shape[2], length, kernel.shape[2], stride[0], padding[0]):
        maps, plane = frames(x, met), kernel[:, :, tap]
        way = choose("values", call_of(maps, plane.shape[2:], padding[1:], stride[1:]))
        frames(y, seen).add_(way(maps, plane, None, stride[1:], padding[1:]))
    return y.to(x.dtype)


def kernel_gradient_by_taps(
    choose: Callable[[str, Call], Callable[..., Tensor]],
    grad: Tensor,
    x: Tensor,
    kernel_size: list[int],
    padding: list[int],
) -> Tensor:
    """choose: the way of a computation on maps."""
    taps, *plane = kernel_size
    # Taps that meet only padding have a gradient of zero.
    total = x.new_zeros(x.shape[1], 1, *kernel_size)
    for tap, seen, met in frames_met(x.shape[2], grad.shape[2], taps, 1, padding[0]):
        maps = frames(x, met)
        way = choose("kernel_gradient", call_of(maps, plane, padding[1:]))
        total[:, :, tap] = way(frames(grad, seen), maps, plane, padding[1:])
    return total


def frames_met(
    length: int, out_length: int, taps: int, stride: int, padding: int
) -> Iterator[tuple[int, slice, slice]]:
    """Each tap, the frames of the values that it has a part in, and those of x that it meets."""
    for tap in range(taps):
        offset = tap - padding
        first = max(0, -(offset // stride))
        end = min(out_length, (length - 1 - offset) // stride + 1)
        if first < end:
            met = slice(first * stride + offset, (end - 1) * stride + offset + 1, stride)
            yield tap, slice(first, end), met
