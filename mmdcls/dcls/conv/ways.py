"""The ways of a depthwise convolution, and which of them a call takes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from .crossovers import Call, preferred
from .fourier import fft_why_not, kernel_gradient_by_fft, values_by_fft
from .framework import kernel_gradient_of_framework, values_directly
from .tiles import kernel_gradient_by_tiles


def never_refuses(call: Call) -> None:
    return None


class Way(NamedTuple):
    """run: the computation. why_not: a sentence why it cannot serve a call, or None if it can."""

    run: Callable[..., Tensor]
    why_not: Callable[[Call], str | None]


# The first way of each computation serves every call.
WAYS = {
    "values": {
        "direct": Way(values_directly, never_refuses),
        "fft": Way(values_by_fft, fft_why_not),
    },
    "kernel_gradient": {
        "tiles": Way(kernel_gradient_by_tiles, never_refuses),
        "fft": Way(kernel_gradient_by_fft, fft_why_not),
        "framework": Way(kernel_gradient_of_framework, never_refuses),
    },
}


def choose(computation: str, x: Tensor, kernel_size: Sequence[int]) -> Callable[..., Tensor]:
    call = Call(tuple(x.shape[2:]), tuple(kernel_size), x.dtype)
    ways = WAYS[computation]
    way = ways[preferred(computation, call)]
    return next(iter(ways.values())).run if way.why_not(call) else way.run
