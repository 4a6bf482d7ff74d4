"""The construction of kernels on GPUs as `torch.library` operators, each a launch.

Autograd makes about sixty launches of a kernel and its gradient, each on little: several times the
time of the convolution. Gradients of gradients are those of the formulas in kernel_formula.py.
"""

import functools
from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from .cache import is_traced_away, is_transformed
from .eager import function_of, passes_by
from .gpu import KINDS, capability_of, triton_why_not
from .interpolation import get_interpolation
from .kernel_formula import kernel_by_formula, shares_by_formula

# Compute capabilities of GPUs for which it was measured. 9.0: H100.
MEASURED = {(9, 0)}
# Cells along an axis, so that a slice of the kernel fits the registers of a program.
LARGEST = 64


def construction_why_not(axes: int, cells: int, *sources: Tensor | None) -> str | None:
    """Why the operators here cannot serve, or None if they can. cells: along the longest axis."""
    device = sources[0].device
    reason = device_why_not(device) if torch.compiler.is_compiling() else known_why_not(device)
    if reason is not None:
        return reason
    if axes != 2 or cells > LARGEST:
        return f"they build kernels of two axes, of up to {LARGEST} cells"
    present = [source for source in sources if source is not None]
    dtypes = {source.dtype for source in present}
    if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
        return "they compute in float32 or float64"
    if any(map(is_transformed, present)):
        return "custom operators know neither torch.func nor forward-mode differentiation"
    if is_traced_away():
        return "what is exported runs where this package is not"
    return None


def shares_why_not(
    positions: Tensor, sigma: Tensor | None, kernel_size: Sequence[int], interpolation: str
) -> str | None:
    """The same, for the shares of an interpolation."""
    if get_interpolation(interpolation).share not in KINDS:
        return f"they have no kernel for interpolation={interpolation!r}"
    return construction_why_not(len(kernel_size), max(kernel_size), positions, sigma)


def device_why_not(device: torch.device) -> str | None:
    reason = triton_why_not(device)
    if reason is None and capability_of(device) not in MEASURED:
        return f"nobody has measured them on a GPU such as {device}"
    return reason


known_why_not = functools.cache(device_why_not)


def build_shares(
    positions: Tensor, sigma: Tensor | None, kernel_size: list[int], interpolation: str
) -> tuple[Tensor, Tensor]:
    from .construction_kernels import element_shares

    return element_shares(positions, sigma, kernel_size, interpolation)


fused_shares = torch.library.custom_op("mmdcls::element_shares", build_shares, mutates_args=())


@fused_shares.register_fake
def _(positions: Tensor, sigma: Tensor | None, kernel_size: list[int], interpolation: str):
    return tuple(positions.new_empty(*positions.shape[1:], size) for size in kernel_size)


def shares_gradient(
    grad_y: Tensor,
    grad_x: Tensor,
    positions: Tensor,
    sigma: Tensor | None,
    kernel_size: list[int],
    interpolation: str,
) -> Tensor:
    from .construction_kernels import element_shares_gradient

    return element_shares_gradient(grad_y, grad_x, positions, sigma, kernel_size, interpolation)


fused_shares_gradient = torch.library.custom_op(
    "mmdcls::element_shares_gradient", shares_gradient, mutates_args=()
)


@fused_shares_gradient.register_fake
def _(
    grad_y: Tensor,
    grad_x: Tensor,
    positions: Tensor,
    sigma: Tensor | None,
    kernel_size: list[int],
    interpolation: str,
) -> Tensor:
    return positions.new_empty(1 if sigma is None else 2, *positions.shape)


def build_kernel(weight: Tensor, share_y: Tensor, share_x: Tensor) -> Tensor:
    from .construction_kernels import kernel_from_shares

    return kernel_from_shares(weight, share_y, share_x)


fused_kernel = torch.library.custom_op("mmdcls::kernel_from_shares", build_kernel, mutates_args=())


@fused_kernel.register_fake
def _(weight: Tensor, share_y: Tensor, share_x: Tensor) -> Tensor:
    return weight.new_empty(*weight.shape[:2], share_y.shape[-1], share_x.shape[-1])


# Counted as the formula is: its one product of matrices and none of what is cell by cell.
@register_flop_formula(torch.ops.mmdcls.kernel_from_shares)
def _(weight: torch.Size, share_y: torch.Size, share_x: torch.Size, **_) -> int:
    return 2 * prod(weight) * share_y[-1] * share_x[-1]


def kernel_gradient(
    grad: Tensor, weight: Tensor, share_y: Tensor, share_x: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from .construction_kernels import kernel_from_shares_gradient

    return kernel_from_shares_gradient(grad, weight, share_y, share_x)


fused_kernel_gradient = torch.library.custom_op(
    "mmdcls::kernel_from_shares_gradient", kernel_gradient, mutates_args=()
)


@fused_kernel_gradient.register_fake
def _(grad: Tensor, weight: Tensor, share_y: Tensor, share_x: Tensor):
    return tuple(source.new_empty(source.shape) for source in (weight, share_y, share_x))


@register_flop_formula(torch.ops.mmdcls.kernel_from_shares_gradient)
def _(grad: torch.Size, weight: torch.Size, *_, **__) -> int:
    # The gradients of the two matrices.
    return 4 * prod(weight) * prod(grad[2:])


def gradients_of_formula(
    formula: Callable[..., Tensor | tuple[Tensor, ...]],
    sources: list[Tensor],
    grads: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    """Of sources that are asked for, in a graph of their own."""
    values = formula(*sources)
    values = values if isinstance(values, tuple) else (values,)
    wanted = [source for source in sources if source is not None and source.requires_grad]
    found = iter(torch.autograd.grad(values, wanted, grads, create_graph=True))
    return tuple(
        next(found) if source is not None and source.requires_grad else None for source in sources
    )


def _save_shares(ctx, inputs: tuple, output: tuple) -> None:
    positions, sigma, ctx.kernel_size, ctx.interpolation = inputs
    ctx.save_for_backward(positions, sigma)


def _gradients_of_shares(ctx, grad_y: Tensor, grad_x: Tensor) -> tuple[Tensor | None, ...]:
    positions, sigma = ctx.saved_tensors
    rule = ctx.kernel_size, ctx.interpolation
    if torch.is_grad_enabled() or is_transformed(grad_y) or is_transformed(grad_x):

        def formula(positions: Tensor, sigma: Tensor | None) -> tuple[Tensor, ...]:
            return shares_by_formula(positions, sigma, *rule)

        sources = [positions, sigma]
        return *gradients_of_formula(formula, sources, (grad_y, grad_x)), None, None
    run = shares_gradient if passes_by(positions) else fused_shares_gradient
    found = run(grad_y, grad_x, positions, sigma, *rule)
    return found[0], None if sigma is None else found[1], None, None


def _save_kernel(ctx, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients_of_kernel(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    weight, *shares = ctx.saved_tensors
    if torch.is_grad_enabled() or is_transformed(grad):

        def formula(weight: Tensor, *shares: Tensor) -> Tensor:
            return kernel_by_formula(weight, shares)

        return gradients_of_formula(formula, [weight, *shares], (grad,))
    run = kernel_gradient if passes_by(weight) else fused_kernel_gradient
    return tuple(run(grad, weight, *shares))


fused_shares.register_autograd(_gradients_of_shares, setup_context=_save_shares)
fused_kernel.register_autograd(_gradients_of_kernel, setup_context=_save_kernel)
passed_shares = function_of(build_shares, _save_shares, _gradients_of_shares)
passed_kernel = function_of(build_kernel, _save_kernel, _gradients_of_kernel)


def shares_on_gpu(
    positions: Tensor, sigma: Tensor | None, kernel_size: Sequence[int], interpolation: str
) -> tuple[Tensor, Tensor]:
    run = passed_shares if passes_by(positions) else fused_shares
    return tuple(run(positions, sigma, list(kernel_size), interpolation))


def kernel_on_gpu(weight: Tensor, shares: tuple[Tensor, Tensor]) -> Tensor:
    run = passed_kernel if passes_by(weight) else fused_kernel
    return run(weight, *shares)
