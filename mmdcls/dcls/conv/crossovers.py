"""Which way of a depthwise convolution is the fastest, as measured.

`python tools/analysis_tools/measure_crossovers.py` measures the tables of CPUs anew on other
hardware, with `--device cuda` those of GPUs.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Side of the largest map that the entry is for -> side of the smallest kernel for which the FFT is
# the fastest; the last entry serves larger maps as well. Two cores with AVX-512, torch 2.13.
NEVER = math.inf
FFT_FROM = {
    "values": {32: NEVER, 64: 51, 128: 31, 256: 31},
    "kernel_gradient": {16: NEVER, 32: 63, 64: 17, 128: 17, 256: 17},
}
# Side of the largest kernel whose gradient the framework's own way is the fastest for.
FRAMEWORK_UP_TO = 3
# Side of a plane of the smallest kernel of three axes that goes tap by tap, whatever the volume.
TAPS_FROM = 2

# Compute capability and dtype of a GPU -> side of the smallest kernel for which the band is the
# fastest, on maps of all sizes. 9.0: H100, torch 2.11, Triton 3.6, against cuDNN 9.19; in float16,
# of which 17x17 was measured, as in bfloat16.
BAND_FROM = {(9, 0): {torch.float16: 9, torch.bfloat16: 9, torch.float32: 9}}


class Call(NamedTuple):
    """What the choice of a way rests on."""

    size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    dtype: torch.dtype
    batch: int = 1
    channels: int = 1
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    device: torch.device = torch.device("cpu")


def call_of(
    x: Tensor,
    kernel_size: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int] = (1, 1),
    dtype: torch.dtype | None = None,
) -> Call:
    """dtype: that of the computation, where it is not x's."""
    return Call(
        tuple(x.shape[2:]),
        tuple(kernel_size),
        dtype or x.dtype,
        x.shape[0],
        x.shape[1],
        tuple(stride),
        tuple(padding),
        x.device,
    )


def preferred(computation: str, call: Call) -> str:
    """The name of the fastest way; a way may still refuse the call."""
    if len(call.size) == 3:
        return "taps" if math.prod(call.kernel_size[1:]) >= TAPS_FROM**2 else "framework"
    if call.device.type == "cuda":
        return "band"
    # Of a map or kernel that is not square, the side of the square with as many cells.
    side, kernel = (math.sqrt(math.prod(size)) for size in (call.size, call.kernel_size))
    table = FFT_FROM[computation]
    largest = next((known for known in table if side <= known), max(table))
    if kernel >= table[largest]:
        return "fft"
    if computation == "values":
        return "direct"
    return "framework" if kernel <= FRAMEWORK_UP_TO else "tiles"
