"""The construction of a kernel of two axes in Triton: shares and kernel in one launch each.

The formulas are those of interpolation.py and kernel.py, with the slopes that autograd finds there.
Everything is in the dtype of the positions, float32 or float64.
"""

import functools
import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from .gpu import KINDS
from .interpolation import get_interpolation
from .kernel_formula import NORMALIZER_EPS
from .launching import launch
from .positions import position_limits

# Elements that a program has shares of.
SHARES_BLOCK = 16


@triton.jit
def inside_of(positions, element, present, low, high):
    """Positions counted from cell 0, at the border where they are beyond; NaN stays."""
    position = tl.load(positions + element, mask=present, other=0.0)[:, None]
    border = tl.where(position < low, low, tl.where(position > high, high, position))
    return border - low


@triton.jit
def width_of(sigma, element, present, FLOOR: tl.constexpr):
    stored = tl.load(sigma + element, mask=present, other=0.0)[:, None]
    return tl.where(stored < 0, -stored, stored) + FLOOR, tl.where(stored < 0, -1.0, 1.0)


@triton.jit
def share_of(cells, position, width, size, KIND: tl.constexpr, LEAST: tl.constexpr):
    """The share of every cell, and its slopes by position and by width."""
    nothing = 0 * (position + cells)
    exists = cells < size
    if KIND == "linear":
        last = tl.maximum(size - 2, 0).to(position.dtype)
        lower = tl.floor(position)
        lower = tl.where(lower > last, last, lower)
        is_lower, is_upper = exists & (cells == lower), exists & (cells == lower + 1)
        fraction = position - lower
        share = tl.where(is_lower, 1 - fraction, tl.where(is_upper, fraction, nothing))
        slope = tl.where(is_upper, 1.0, 0.0) - tl.where(is_lower, 1.0, 0.0) + nothing
        spread = nothing
    elif KIND == "triangle":
        away = cells - position
        height = width - tl.abs(away)
        share = tl.where(height < 0, nothing, height)
        # Half of it at a kink.
        spread = tl.where(height > 0, 1.0, tl.where(height == 0, 0.5, 0.0)) + nothing
        slope = spread * (tl.where(away > 0, 1.0, 0.0) - tl.where(away < 0, 1.0, 0.0))
    else:
        away = (cells - position) / width
        exponent = -0.5 * away * away
        share = tl.where(exponent < LEAST, nothing, tl.exp(exponent))
        slope = share * away / width
        spread = slope * away
    zero = 0.0
    return (
        tl.where(exists, share, zero),
        tl.where(exists, slope, zero),
        tl.where(exists, spread, zero),
    )


@triton.jit(do_not_specialize=["E", "S_y", "S_x", "low_y", "high_y", "low_x", "high_x"])
def shares_kernel(
    positions, sigma, out_y, out_x, E, S_y, S_x, low_y, high_y, low_x, high_x,
    KIND: tl.constexpr, LEAST: tl.constexpr, FLOOR: tl.constexpr, EPS: tl.constexpr,
    NORMALIZED: tl.constexpr, SUMMED: tl.constexpr, CELLS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """positions and sigma (2, E) -> shares (E, S_y) and (E, S_x), the normaliser in the first."""
    element = tl.program_id(0) * B + tl.arange(0, B)
    present = element < E
    cell = tl.arange(0, CELLS)[None, :]
    y = inside_of(positions, element, present, low_y, high_y)
    x = inside_of(positions + E, element, present, low_x, high_x)
    width_y, width_x = y, x
    if KIND != "linear":
        width_y, _ = width_of(sigma, element, present, FLOOR)
        width_x, _ = width_of(sigma + E, element, present, FLOOR)
    cells = cell.to(y.dtype)
    share_y, _, _ = share_of(cells, y, width_y, S_y, KIND, LEAST)
    share_x, _, _ = share_of(cells, x, width_x, S_x, KIND, LEAST)
    if NORMALIZED:
        if SUMMED:
            sums = tl.sum(share_y, 1) * tl.sum(share_x, 1)
            share_y = share_y / (sums + EPS)[:, None]
        else:
            share_y = share_y / (1.0 + EPS)
    row = element[:, None]
    tl.store(out_y + row * S_y + cell, share_y, mask=present[:, None] & (cell < S_y))
    tl.store(out_x + row * S_x + cell, share_x, mask=present[:, None] & (cell < S_x))


@triton.jit(do_not_specialize=["E", "S_y", "S_x", "low_y", "high_y", "low_x", "high_x"])
def shares_gradient_kernel(
    grad_y, grad_x, positions, sigma, out, E, S_y, S_x, low_y, high_y, low_x, high_x,
    KIND: tl.constexpr, LEAST: tl.constexpr, FLOOR: tl.constexpr, EPS: tl.constexpr,
    NORMALIZED: tl.constexpr, SUMMED: tl.constexpr, CELLS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Gradients of the shares -> out, of positions (2, E) and, with a width, of sigma (2, E)."""
    element = tl.program_id(0) * B + tl.arange(0, B)
    present = element < E
    row, cell = element[:, None], tl.arange(0, CELLS)[None, :]
    y = inside_of(positions, element, present, low_y, high_y)
    x = inside_of(positions + E, element, present, low_x, high_x)
    width_y, width_x = y, x
    if KIND != "linear":
        width_y, sign_y = width_of(sigma, element, present, FLOOR)
        width_x, sign_x = width_of(sigma + E, element, present, FLOOR)
    cells = cell.to(y.dtype)
    share_y, slope_y, spread_y = share_of(cells, y, width_y, S_y, KIND, LEAST)
    share_x, slope_x, spread_x = share_of(cells, x, width_x, S_x, KIND, LEAST)
    mask_y, mask_x = present[:, None] & (cell < S_y), present[:, None] & (cell < S_x)
    of_y = tl.load(grad_y + row * S_y + cell, mask=mask_y, other=0.0)
    of_x = tl.load(grad_x + row * S_x + cell, mask=mask_x, other=0.0)
    if NORMALIZED:
        if SUMMED:
            sum_y, sum_x = tl.sum(share_y, 1)[:, None], tl.sum(share_x, 1)[:, None]
            scale = 1 / (sum_y * sum_x + EPS)
            of_sums = -tl.sum(of_y * share_y, 1)[:, None] * scale * scale
            of_y = of_y * scale + of_sums * sum_x
            of_x = of_x + of_sums * sum_y
        else:
            of_y = of_y / (1.0 + EPS)
    # From infinitely far away there is no slope.
    at_y = tl.load(positions + element, mask=present, other=0.0)
    at_x = tl.load(positions + E + element, mask=present, other=0.0)
    far = float("inf")
    of_at_y = tl.where(tl.abs(at_y) < far, tl.sum(of_y * slope_y, 1), 0.0)
    of_at_x = tl.where(tl.abs(at_x) < far, tl.sum(of_x * slope_x, 1), 0.0)
    tl.store(out + element, of_at_y, mask=present)
    tl.store(out + E + element, of_at_x, mask=present)
    if KIND != "linear":
        of_width_y = tl.sum(of_y * spread_y * sign_y, 1)
        of_width_x = tl.sum(of_x * spread_x * sign_x, 1)
        tl.store(out + 2 * E + element, of_width_y, mask=present)
        tl.store(out + 3 * E + element, of_width_x, mask=present)


@triton.jit
def with_products(total, a, b):
    """total (M, N) + the products of a (K, M) and b (K, N), added up over K."""
    if total.dtype == tl.float64:
        total += tl.sum(a[:, :, None] * b[:, None, :], 0)
    else:
        total = tl.dot(tl.trans(a), b, total, input_precision="ieee")
    return total


@triton.jit
def weights_and_shares(sources, part, k, sizes, CELLS_Y: tl.constexpr, CELLS_X: tl.constexpr):
    """Of elements k, with zeros where there is none."""
    weight, share_y, share_x = sources
    K, S_y, S_x = sizes
    element, present = (part * K + k)[:, None], (k < K)[:, None]
    y, x = tl.arange(0, CELLS_Y)[None, :], tl.arange(0, CELLS_X)[None, :]
    along_y = tl.load(share_y + element * S_y + y, mask=present & (y < S_y), other=0.0)
    along_x = tl.load(share_x + element * S_x + x, mask=present & (x < S_x), other=0.0)
    return tl.load(weight + element, mask=present, other=0.0), along_y, along_x


@triton.jit(do_not_specialize=["K", "S_y", "S_x"])
def kernel_kernel(
    weight, share_y, share_x, out, K, S_y, S_x,
    CELLS_Y: tl.constexpr, CELLS_X: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """weight (slices, K), shares (slices, K, S) -> out (slices, S_y, S_x)."""
    part = tl.program_id(0)
    sources, sizes = (weight, share_y, share_x), (K, S_y, S_x)
    total = tl.zeros((CELLS_Y, CELLS_X), out.dtype.element_ty)
    for first in range(0, K, B):
        k = first + tl.arange(0, B)
        scale, along_y, along_x = weights_and_shares(sources, part, k, sizes, CELLS_Y, CELLS_X)
        total = with_products(total, scale * along_y, along_x)
    y, x = tl.arange(0, CELLS_Y)[:, None], tl.arange(0, CELLS_X)[None, :]
    tl.store(out + (part * S_y + y) * S_x + x, total, mask=(y < S_y) & (x < S_x))


@triton.jit(do_not_specialize=["K", "S_y", "S_x"])
def kernel_gradient_kernel(
    grad, weight, share_y, share_x, out, out_y, out_x, K, S_y, S_x,
    CELLS_Y: tl.constexpr, CELLS_X: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """The gradient of a kernel -> out (slices, K), of the shares (slices, K, S)."""
    part = tl.program_id(0)
    k = tl.program_id(1) * B + tl.arange(0, B)
    sources, sizes = (weight, share_y, share_x), (K, S_y, S_x)
    scale, along_y, along_x = weights_and_shares(sources, part, k, sizes, CELLS_Y, CELLS_X)
    y, x = tl.arange(0, CELLS_Y), tl.arange(0, CELLS_X)
    place = (part * S_y + y)[:, None] * S_x + x[None, :]
    cells = tl.load(grad + place, mask=(y < S_y)[:, None] & (x < S_x)[None, :], other=0.0)
    seen_y = tl.zeros((B, CELLS_Y), cells.dtype)
    seen_y = with_products(seen_y, tl.trans(along_x), tl.trans(cells))
    seen_x = with_products(tl.zeros((B, CELLS_X), cells.dtype), tl.trans(along_y), cells)
    element, present, y, x = (part * K + k)[:, None], (k < K)[:, None], y[None, :], x[None, :]
    tl.store(out + element, tl.sum(seen_y * along_y, 1)[:, None], mask=present)
    tl.store(out_y + element * S_y + y, scale * seen_y, mask=present & (y < S_y))
    tl.store(out_x + element * S_x + x, scale * seen_x, mask=present & (x < S_x))


@functools.cache
def rules(dtype: torch.dtype, kernel_size: tuple[int, int], interpolation: str) -> tuple:
    """What the kernels of the shares have to know beside the tensors: numbers and constants."""
    rule = get_interpolation(interpolation)
    (low_y, high_y), (low_x, high_x) = map(position_limits, kernel_size)
    constants = dict(
        KIND=KINDS[rule.share],
        LEAST=math.log(torch.finfo(dtype).tiny) / 4,
        FLOOR=rule.width_floor or 0.0,
        EPS=NORMALIZER_EPS,
        NORMALIZED=rule.normalized,
        SUMMED=not (rule.sums_to_one and min(kernel_size) > 1),
        CELLS=triton.next_power_of_2(max(kernel_size)),
        B=SHARES_BLOCK,
    )
    return (*kernel_size, low_y, high_y, low_x, high_x), constants


def element_shares(
    positions: Tensor, sigma: Tensor | None, kernel_size: list[int], interpolation: str
) -> tuple[Tensor, Tensor]:
    shape = positions.shape[1:]
    share_y, share_x = (positions.new_empty(*shape, size) for size in kernel_size)
    positions = positions.contiguous()
    sigma = positions if sigma is None else sigma.contiguous()
    count = shape.numel()
    numbers, constants = rules(positions.dtype, tuple(kernel_size), interpolation)
    grid = triton.cdiv(count, SHARES_BLOCK), 1, 1
    tensors = positions, sigma, share_y, share_x
    launch(shares_kernel, grid, tensors, count, *numbers, **constants)
    return share_y, share_x


def element_shares_gradient(
    grad_y: Tensor,
    grad_x: Tensor,
    positions: Tensor,
    sigma: Tensor | None,
    kernel_size: list[int],
    interpolation: str,
) -> Tensor:
    """Of positions, then of sigma where there is one: (1 or 2, *positions.shape)."""
    out = positions.new_empty(1 if sigma is None else 2, *positions.shape)
    positions = positions.contiguous()
    sigma = positions if sigma is None else sigma.contiguous()
    count = positions[0].numel()
    numbers, constants = rules(positions.dtype, tuple(kernel_size), interpolation)
    grid = triton.cdiv(count, SHARES_BLOCK), 1, 1
    tensors = grad_y.contiguous(), grad_x.contiguous(), positions, sigma, out
    launch(shares_gradient_kernel, grid, tensors, count, *numbers, **constants)
    return out


@functools.cache
def layout(cells_y: int, cells_x: int, dtype: torch.dtype, gradient: bool) -> dict[str, int]:
    """Cells and elements of a product, and warps: the fastest of several on an H100."""
    # A product has at least 16 of everything.
    size_y, size_x = (max(16, triton.next_power_of_2(cells)) for cells in (cells_y, cells_x))
    sides = dict(CELLS_Y=size_y, CELLS_X=size_x)
    if dtype == torch.float64:
        return dict(sides, B=2, num_warps=8)
    small = 2 if gradient else 4
    return dict(sides, B=16, num_warps=small if max(size_y, size_x) <= 32 else 8)


def kernel_from_shares(weight: Tensor, share_y: Tensor, share_x: Tensor) -> Tensor:
    sizes = share_y.shape[-1], share_x.shape[-1]
    *slices, count = weight.shape
    out = weight.new_empty(*slices, *sizes)
    tensors = weight.contiguous(), share_y.contiguous(), share_x.contiguous(), out
    constants = layout(*sizes, weight.dtype, gradient=False)
    launch(kernel_kernel, (math.prod(slices), 1, 1), tensors, count, *sizes, **constants)
    return out


def kernel_from_shares_gradient(
    grad: Tensor, weight: Tensor, share_y: Tensor, share_x: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of weight and shares."""
    sizes = share_y.shape[-1], share_x.shape[-1]
    *slices, count = weight.shape
    sources = weight.contiguous(), share_y.contiguous(), share_x.contiguous()
    out = tuple(map(torch.empty_like, sources))
    constants = layout(*sizes, weight.dtype, gradient=True)
    grid = math.prod(slices), triton.cdiv(count, constants["B"]), 1
    tensors = grad.contiguous(), *sources, *out
    launch(kernel_gradient_kernel, grid, tensors, count, *sizes, **constants)
    return out
