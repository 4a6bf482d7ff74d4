"""Weights and positions of a few elements -> a dense kernel, for any number of axes."""

from collections.abc import Sequence

from torch import Tensor

from .arguments import is_whole
from .construction import construction_why_not, kernel_on_gpu, shares_on_gpu, shares_why_not
from .interpolation import get_interpolation
from .kernel_formula import kernel_by_formula, shares_by_formula


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
    check_shapes(positions, sigma, kernel_size, interpolation)
    if shares_why_not(positions, sigma, kernel_size, interpolation) is None:
        return shares_on_gpu(positions, sigma, kernel_size, interpolation)
    return shares_by_formula(positions, sigma, kernel_size, interpolation)


def kernel_from_shares(weight: Tensor, shares: tuple[Tensor, ...]) -> Tensor:
    """Add up the elements: (out, in/groups, kernel_count) -> (out, in/groups, *kernel_size)."""
    cells = max(share.shape[-1] for share in shares)
    if construction_why_not(len(shares), cells, weight, *shares) is None:
        return kernel_on_gpu(weight, shares)
    return kernel_by_formula(weight, shares)


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
