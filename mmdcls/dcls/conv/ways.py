"""The ways of a depthwise convolution, and which of them a call takes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .crossovers import Call, preferred
from .fourier import fft_why_not, kernel_gradient_by_fft, values_by_fft
from .framework import kernel_gradient_of_framework, values_directly
from .layout import laid_out
from .taps import kernel_gradient_by_taps, values_by_taps
from .tiles import kernel_gradient_by_tiles
from .windows import band_cannot, known_why_not


def values_in_one_dtype(
    x: Tensor, kernel: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
) -> Tensor:
    """On GPUs kernel and bias may be of float32 beside a map of half precision."""
    bias = None if bias is None else bias.to(x.dtype)
    return values_directly(x, kernel.to(x.dtype), bias, stride, padding)


# Triton is imported by whoever runs it.
def values_by_band(*arguments: Any) -> Tensor:
    from .band import values

    return values(*arguments)


def kernel_gradient_by_band(*arguments: Any) -> Tensor:
    from .band import kernel_gradient

    return kernel_gradient(*arguments)


# Of volumes, the planes of a kernel take the ways of maps.
def values_of_planes(*arguments: Any) -> Tensor:
    return values_by_taps(choose, *arguments)


def kernel_gradient_of_planes(*arguments: Any) -> Tensor:
    return kernel_gradient_by_taps(choose, *arguments)


def values_of_volumes(*arguments: Any) -> Tensor:
    return laid_out(values_directly(*arguments))


def never_refuses(call: Call) -> None:
    return None


class Way(NamedTuple):
    """run: the computation. cannot: a sentence why it cannot serve a call, or None if it can.

    why_not: the same, and why it is not given calls that it could serve.
    """

    run: Callable[..., Tensor]
    cannot: Callable[[Call], str | None]
    why_not: Callable[[Call], str | None]


# The first way of each computation serves every call.
WAYS = {
    "values": {
        "direct": Way(values_directly, never_refuses, never_refuses),
        "fft": Way(values_by_fft, fft_why_not, fft_why_not),
    },
    "kernel_gradient": {
        "tiles": Way(kernel_gradient_by_tiles, never_refuses, never_refuses),
        "fft": Way(kernel_gradient_by_fft, fft_why_not, fft_why_not),
        "framework": Way(kernel_gradient_of_framework, never_refuses, never_refuses),
    },
}
VOLUME_WAYS = {
    "values": {
        "framework": Way(values_of_volumes, never_refuses, never_refuses),
        "taps": Way(values_of_planes, never_refuses, never_refuses),
    },
    "kernel_gradient": {
        "framework": Way(kernel_gradient_of_framework, never_refuses, never_refuses),
        "taps": Way(kernel_gradient_of_planes, never_refuses, never_refuses),
    },
}
GPU_WAYS = {
    "values": {
        "direct": Way(values_in_one_dtype, never_refuses, never_refuses),
        "band": Way(values_by_band, band_cannot, known_why_not),
    },
    "kernel_gradient": {
        "framework": Way(kernel_gradient_of_framework, never_refuses, never_refuses),
        "band": Way(kernel_gradient_by_band, band_cannot, known_why_not),
    },
}


def ways_on(device: torch.device, axes: int = 2) -> dict[str, dict[str, Way]]:
    if axes == 3:
        return VOLUME_WAYS
    return GPU_WAYS if device.type == "cuda" else WAYS


def chosen(computation: str, call: Call) -> str:
    """The name of the way that a call takes."""
    ways = ways_on(call.device, len(call.size))[computation]
    name = preferred(computation, call)
    return next(iter(ways)) if ways[name].why_not(call) else name


def choose(computation: str, call: Call) -> Callable[..., Tensor]:
    ways = ways_on(call.device, len(call.size))[computation]
    return ways[chosen(computation, call)].run
