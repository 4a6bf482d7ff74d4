"""Weights and positions of a few elements -> a dense kernel, for any number of axes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .arguments import is_whole
from .interpolation import get_interpolation
from .positions import position_limits

# As in the published code: keeps the division finite for an element whose shares all vanish.
NORMALIZER_EPS = 1e-7


def element_shares(
    positions: Tensor, sigma: Tensor | None, kernel_size: tuple[int, ...], interpolation: str
) -> tuple[Tensor, ...]:
    """How much of each element every cell of each axis receives.

    positions  (axes, out, in/groups, kernel_count), offsets from the kernel's centre in cells
    sigma      the same shape, or None where the interpolation has none
    returns    one (out, in/groups, kernel_count, kernel_size[a]) per axis a; the normaliser, if
               there is one, is in the first

    An element outside the kernel counts as standing on its border, and receives the gradient of
    the border, or none if it is infinitely far away. Where a position is NaN, so is every share.
    Computed in float32 at least. Raises ValueError where the shapes do not fit.
    """
    rule = get_interpolation(interpolation)
    check_shapes(positions, sigma, kernel_size, interpolation)
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


def kernel_from_shares(weight: Tensor, shares: tuple[Tensor, ...]) -> Tensor:
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


def construct_kernel(
    weight: Tensor,
    positions: Tensor,
    sigma: Tensor | None,
    kernel_size: tuple[int, ...],
    interpolation: str,
) -> Tensor:
    """Build the dense kernel (arXiv 2112.03740, section 3; arXiv 2306.00817 for the Gaussian).

    weight       (out, in/groups, kernel_count)
    positions    (axes, out, in/groups, kernel_count), offsets from the kernel's centre, cell
                 S // 2, in cells; row a is kernel axis a
    sigma        the shape of positions for "triangle" and "gaussian", else None
    kernel_size  one extent per axis
    returns      (out, in/groups, *kernel_size), differentiable, in the dtype of weight

    Raises ValueError for an unknown interpolation and for shapes that do not fit.
    """
    if positions.shape[1:] != weight.shape:
        raise ValueError(
            f"positions {tuple(positions.shape)} must be (axes, *weight shape), "
            f"with a weight of shape {tuple(weight.shape)}"
        )
    shares = element_shares(positions, sigma, kernel_size, interpolation)
    return kernel_from_shares(weight, shares)


def check_shapes(
    positions: Tensor, sigma: Tensor | None, kernel_size: tuple[int, ...], interpolation: str
) -> None:
    is_sequence = isinstance(kernel_size, Sequence) and len(kernel_size) > 0
    if not is_sequence or not all(is_whole(size) and size >= 1 for size in kernel_size):
        raise ValueError(
            f"kernel_size={kernel_size!r} must have one whole number of at least 1 per axis, "
            f"such as (7,) or (7, 7)"
        )
    if positions.dim() != 4 or positions.shape[0] != len(kernel_size):
        raise ValueError(
            f"positions must be (axes, out, in/groups, kernel_count) with axes = "
            f"{len(kernel_size)} for kernel_size={tuple(kernel_size)}, got {tuple(positions.shape)}"
        )
    if get_interpolation(interpolation).has_sigma:
        if sigma is None or sigma.shape != positions.shape:
            given = None if sigma is None else tuple(sigma.shape)
            raise ValueError(
                f"interpolation={interpolation!r} needs a sigma of the shape of positions, "
                f"{tuple(positions.shape)}, got {given}"
            )
    elif sigma is not None:
        raise ValueError(f"interpolation={interpolation!r} has no width: pass sigma=None")


def without_autocast(device_type: str) -> torch.autocast:
    # A device without autocast (meta) is served by the CPU's context, which does nothing there.
    available = torch.amp.is_autocast_available(device_type)
    return torch.autocast(device_type if available else "cpu", enabled=False)
