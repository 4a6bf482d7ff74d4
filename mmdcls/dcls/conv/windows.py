"""What of a map the products of band.py see, and which calls they can serve."""

import functools
import math

import torch

from ..gpu import capability_of, triton_why_not
from .crossovers import BAND_FROM, Call

TILE = 16
# Columns of a window; a few sizes, so that few kernels are compiled. Of float32 the largest would
# not fit the registers.
WINDOWS = {
    torch.float16: (32, 64, 128),
    torch.bfloat16: (32, 64, 128),
    torch.float32: (32, 64),
}
# Elements of 2 bytes that fill the 16 of a wide load.
ALIGNED = 8
# Rows of a product below which floating point divides as whole numbers do.
EXACT = 2**22
# Second and third axis of a grid.
GRID = 2**16 - 1


def offset_of(padding: int) -> int:
    """Columns of a window before the first that is seen, so that windows start on 16 bytes."""
    return -padding % ALIGNED


def window_of(kernel_width: int, padding: int, dtype: torch.dtype) -> int | None:
    """Columns of a window, or None if none is wide enough."""
    needed = TILE + kernel_width - 1 + offset_of(padding)
    return next((window for window in WINDOWS[dtype] if needed <= window), None)


def blocks(count: int, size: int) -> int:
    return -(-count // size)


def band_cannot(call: Call) -> str | None:
    """Why the band cannot serve this call, or None if it can."""
    reason = triton_why_not(call.device)
    if reason is not None:
        return reason
    if call.dtype not in WINDOWS:
        return f"tensor cores have no {call.dtype}"
    if max(call.stride) > 1:
        return f"it works at stride 1, and this stride is {call.stride}"
    window = window_of(call.kernel_size[1], call.padding[1], call.dtype)
    if window is None:
        most = max(WINDOWS[call.dtype]) - TILE + 1 - offset_of(call.padding[1])
        return (
            f"with this padding it takes kernels up to {most} wide, and this is {call.kernel_size}"
        )
    # With what fills the last groups of rows.
    rows = call.size[0] + 2 * call.padding[0] + 8
    height, width = (
        size + 2 * p - s + 1
        for size, p, s in zip(call.size, call.padding, call.kernel_size, strict=True)
    )
    if min(call.batch, height, width) < 1:
        return "no values are asked for"
    tiles = blocks(width, TILE)
    packed = call.batch * call.channels * rows * (TILE * (tiles - 1) + window)
    if max(packed, call.batch * call.channels * math.prod(call.size)) >= 2**31:
        return "it counts with 32 bits, and there are 2**31 elements or more"
    if call.batch * (height + 8) * tiles >= EXACT or max(call.batch, call.channels) > GRID:
        return f"it takes up to {GRID} channels and maps, and {EXACT} rows of {TILE} values"
    return None


def band_why_not(call: Call) -> str | None:
    """Why the band cannot serve this call or is not the fastest, or None."""
    reason = band_cannot(call)
    if reason is not None:
        return reason
    measured = BAND_FROM.get(capability_of(call.device))
    if measured is None:
        return f"nobody has measured it on a GPU such as {call.device}"
    # Of a kernel that is not square, the side of the square with as many cells.
    if math.prod(call.kernel_size) < measured[call.dtype] ** 2:
        return f"the framework is as fast with a kernel of {call.kernel_size}"
    return None


# For calls that are not traced; the compiler cannot see into it.
known_why_not = functools.lru_cache(maxsize=4096)(band_why_not)
