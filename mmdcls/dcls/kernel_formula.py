"""Weights and positions of a few elements -> a dense kernel, as plain formulas of PyTorch."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .interpolation import get_interpolation
from .positions import position_limits

# As in the published code: keeps the division finite for an element whose shares all vanish.
NORMALIZER_EPS = 1e-7


def shares_by_formula(
    positions: Tensor, sigma: Tensor | None, kernel_size: Sequence[int], interpolation: str
) -> tuple[Tensor, ...]:
    """As `kernel.element_shares`, of shapes that fit."""
    rule = get_interpolation(interpolation)
    dtype = torch.promote_types(positions.dtype, torch.float32)
    shares = []
    for axis, size in enumerate(kernel_size):
        low, high = position_limits(size)
        offset = positions[axis].to(dtype)
        # Zero, with the slope of offset; infinity less infinity is NaN.
        slope = (offset - offset.detach()).nan_to_num()
        inside = offset.detach().clamp(low, high) + slope
        width = None
        if rule.has_sigma:
            stored = sigma[axis].to(dtype)
            # |sigma|, but with slope 1 at zero: abs() has slope 0 there, and a sigma that starts
            # at zero would never move.
            width = (torch.where(stored < 0, -stored, stored) + rule.width_floor).unsqueeze(-1)
        cells = torch.arange(size, dtype=dtype, device=positions.device)
        shares.append(rule.share(cells, (inside - low).unsqueeze(-1), width))
    if rule.normalized:
        known = rule.sums_to_one and min(kernel_size) > 1
        sums = [1.0 if known else share.sum(-1, keepdim=True) for share in shares]
        shares[0] = shares[0] / (math.prod(sums) + NORMALIZER_EPS)
    return tuple(shares)


def kernel_by_formula(weight: Tensor, shares: tuple[Tensor, ...]) -> Tensor:
    """Add up the elements: (out, in/groups, kernel_count) -> (out, in/groups, *kernel_size).

    The largest tensor on the way holds, for each element, the cells of all axes but the last.
    """
    *outer, last = shares
    dtype = torch.promote_types(weight.dtype, last.dtype)
    elements = weight.to(dtype).unsqueeze(-1)
    for share in outer:
        elements = (elements.unsqueeze(-1) * share.unsqueeze(-2)).flatten(-2)
    # Autocast would run this product in half precision.
    with without_autocast(weight.device.type):
        kernel = elements.transpose(-1, -2) @ last.to(dtype)
    sizes = [share.shape[-1] for share in shares]
    return kernel.reshape(*weight.shape[:-1], *sizes).to(weight.dtype)


# In torch 2.11 the compiler cannot ask this in what it traces.
@torch.compiler.assume_constant_result
def has_autocast(device_type: str) -> bool:
    return torch.amp.is_autocast_available(device_type)


def without_autocast(device_type: str) -> torch.autocast:
    # A device without autocast (meta) is served by the CPU's context, which does nothing there.
    return torch.autocast(device_type if has_autocast(device_type) else "cpu", enabled=False)
