"""Depthwise convolution of maps and volumes with large kernels as `torch.library` operators.

There are two computations, the values and the gradient of the kernel; the gradient of the input
is the values with the kernel turned round. ways.py has several ways for each. All give the same
numbers, and every call takes the fastest for its sizes, as measured in crossovers.py.
"""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from ..cache import is_traced_away, is_transformed
from ..eager import function_of, passes_by
from .crossovers import call_of, preferred
from .framework import framework_gradients, plain, values_directly
from .layout import laid_out, memory_format_of
from .ways import choose
from .windows import band_why_not, known_why_not


def depthwise_why_not(
    x: Tensor,
    kernel: Tensor,
    groups: int,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
) -> str | None:
    """Why the operators here cannot serve this call, or None if they can."""
    if x.device.type not in ("cpu", "cuda"):
        return f"they were measured on CPUs and NVIDIA GPUs only, and the input is on {x.device}"
    if not x.is_floating_point():
        return f"they compute with real numbers, and the input is of {x.dtype}"
    if x.dim() not in (4, 5) or kernel.dim() != x.dim():
        return "they work on batches of two-dimensional maps, and of volumes"
    if not groups == x.shape[1] == kernel.shape[0] or kernel.shape[1] > 1:
        return "they need as many groups as input and output channels"
    if bias is not None and bias.shape != kernel.shape[:1]:
        return "they need one bias for each channel"
    if max(dilation) > 1:
        return f"they work at dilation 1, and this dilation is {tuple(dilation)}"
    if any(is_transformed(tensor) for tensor in (x, kernel, bias) if tensor is not None):
        return "custom operators know neither torch.func nor forward-mode differentiation"
    if x.dim() == 5:
        return volume_why_not(x, kernel)
    if x.device.type == "cuda":
        # The framework's way needs no operator, which takes time to enter.
        dtype = autocast_dtype(x)
        call = call_of(x, kernel.shape[2:], padding, stride, dtype)
        return band_why_not(call) if torch.compiler.is_compiling() else known_why_not(call)
    return None


def volume_why_not(x: Tensor, kernel: Tensor) -> str | None:
    if x.device.type == "cuda":
        return f"of volumes they were measured on CPUs only, and the input is on {x.device}"
    if preferred("values", call_of(x, kernel.shape[2:], (0, 0, 0))) == "framework":
        return f"the framework is as fast with a kernel of {tuple(kernel.shape[2:])}"
    return None


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast makes of x. It leaves float64 alone, and does not reach into operators."""
    device = x.device.type
    cast = torch.is_autocast_enabled(device) and x.dtype != torch.float64
    return torch.get_autocast_dtype(device) if cast else None


def depthwise(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
) -> Tensor:
    """As `F.conv2d(x, kernel, bias, stride, padding, groups=channels)`, in x's memory format.

    Of volumes as `F.conv3d`.
    """
    dtype = autocast_dtype(x)
    if dtype is not None:
        x = x.to(dtype)
        if not mixes_dtypes(x, kernel, bias):
            kernel, bias = kernel.to(dtype), None if bias is None else bias.to(dtype)
    given, mixed = memory_format_of(x), dtype is not None and mixes_dtypes(x, kernel, bias)
    if is_traced_away() or not (mixed or fit_together(x, kernel, bias)):
        # The framework refuses what does not fit together.
        x = laid_out(x) if x.dim() == 4 else x
        y = plain(x, kernel, bias, stride, padding, x.shape[1])
    else:
        y = convolved(laid_out(x), kernel, bias, list(stride), list(padding))
    return y.contiguous(memory_format=given)


def mixes_dtypes(x: Tensor, kernel: Tensor, bias: Tensor | None) -> bool:
    """Whether kernel and bias may be of float32 beside a map of half precision: on GPUs."""
    wide = {tensor.dtype for tensor in (kernel, bias) if tensor is not None} == {torch.float32}
    return wide and x.is_cuda and kernel.is_cuda and (bias is None or bias.is_cuda)


def fit_together(x: Tensor, kernel: Tensor, bias: Tensor | None) -> bool:
    if bias is not None and (bias.dtype, bias.device) != (x.dtype, x.device):
        return False
    return (kernel.dtype, kernel.device) == (x.dtype, x.device)


def values(
    x: Tensor, kernel: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
) -> Tensor:
    """x (N, C, H, W), kernel (C, 1, S_h, S_w) -> (N, C, H', W'), both `laid_out`.

    Of volumes one axis more.
    """
    way = choose("values", call_of(x, kernel.shape[2:], padding, stride))
    # Of views that come out of operators, autograd lets none be changed in place.
    return way(x, kernel, bias, stride, padding).detach()


def kernel_gradient(
    grad: Tensor,
    x: Tensor,
    kernel_size: list[int],
    padding: list[int],
    dtype: torch.dtype | None = None,
) -> Tensor:
    """What `grad`, the gradient of the values at stride 1, gives the kernel: (C, 1, S_h, S_w).

    dtype: of the kernel, where it is not that of x.
    """
    dtype = dtype or x.dtype
    if grad.numel() == 0:
        return grad.new_zeros(grad.shape[1], 1, *kernel_size, dtype=dtype)
    way = choose("kernel_gradient", call_of(x, kernel_size, padding))
    return way(grad, x, kernel_size, padding).to(dtype).contiguous().detach()


def convolved(
    x: Tensor, kernel: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
) -> Tensor:
    run = passed_values if passes_by(x) else VALUES[x.dim()]
    return run(x, kernel, bias, stride, padding)


def gradient_of_kernel(
    grad: Tensor, x: Tensor, kernel_size: list[int], padding: list[int], dtype: torch.dtype
) -> Tensor:
    run = passed_kernel_gradient if passes_by(x) else KERNEL_GRADIENT[x.dim()]
    return run(grad, x, kernel_size, padding, dtype)


def gradient_of_input(grad: Tensor, kernel: Tensor, padding: list[int]) -> Tensor:
    """From the gradient at stride 1: the values with the kernel turned round."""
    grad, beyond = seen_by_input(grad, list(kernel.shape[2:]), padding)
    # Compiled autograd unpacks a range with one number too many.
    kernel = kernel.flip(list(range(2, kernel.dim())))
    return convolved(grad, kernel, None, [1] * len(padding), beyond)


def seen_by_input(
    grad: Tensor, kernel_size: list[int], padding: list[int]
) -> tuple[Tensor, list[int]]:
    """The gradient at stride 1 that the turned kernel sees, and its padding."""
    beyond = [size - 1 - p for size, p in zip(kernel_size, padding, strict=True)]
    # Padding wider than the kernel makes values that no cell of the input is in.
    if min(beyond) < 0:
        grad = F.pad(grad, [min(cells, 0) for cells in reversed(beyond) for _ in range(2)])
    return laid_out(grad), [max(cells, 0) for cells in beyond]


def at_stride_1(
    grad: Tensor, stride: list[int], x: Tensor, kernel: Tensor, padding: list[int]
) -> Tensor:
    """Zeros between the cells of grad, where stride 1 would have had values."""
    if max(stride) == 1:
        return laid_out(grad)
    sizes = zip(x.shape[2:], kernel.shape[2:], padding, strict=True)
    full = grad.new_zeros(*grad.shape[:2], *(size + 2 * p - s + 1 for size, s, p in sizes))
    full = laid_out(full)
    full[(..., *(slice(None, None, step) for step in stride))] = grad
    return full


def _save(ctx, inputs: tuple, output: Tensor) -> None:
    x, kernel, bias, ctx.stride, ctx.padding = inputs
    ctx.bias_dtype = None if bias is None else bias.dtype
    ctx.save_for_backward(x, kernel)


def _gradients(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, kernel = ctx.saved_tensors
    if is_transformed(grad):
        mask = list(ctx.needs_input_grad[:3])
        kernel = kernel.to(x.dtype)
        return *framework_gradients(grad, x, kernel, ctx.stride, ctx.padding, mask), None, None
    grad_x = grad_kernel = grad_bias = None
    if ctx.needs_input_grad[2]:
        axes = [axis for axis in range(grad.dim()) if axis != 1]
        grad_bias = grad.sum(axes, dtype=ctx.bias_dtype)
    grad = at_stride_1(grad, ctx.stride, x, kernel, ctx.padding)
    if ctx.needs_input_grad[0]:
        grad_x = gradient_of_input(grad, kernel, ctx.padding)
    if ctx.needs_input_grad[1]:
        size = list(kernel.shape[2:])
        grad_kernel = gradient_of_kernel(grad, x, size, ctx.padding, kernel.dtype)
    return grad_x, grad_kernel, grad_bias, None, None


def _save_kernel_gradient(ctx, inputs: tuple, output: Tensor) -> None:
    grad, x, _, ctx.padding, _ = inputs
    ctx.save_for_backward(grad, x)


def _gradients_of_kernel_gradient(ctx, grad_kernel: Tensor) -> tuple[Tensor | None, ...]:
    # The kernel gradient is linear in grad and in x, so that its own gradients are convolutions.
    grad, x = ctx.saved_tensors
    if is_transformed(grad_kernel):
        grad_kernel = grad_kernel.to(x.dtype)
        grad_grad = plain(x, grad_kernel, None, 1, ctx.padding, x.shape[1])
        mask = [True, False, False]
        strides = [1] * len(ctx.padding)
        grad_x = framework_gradients(grad, x, grad_kernel, strides, ctx.padding, mask)[0]
        return grad_grad, grad_x, None, None, None
    grad_grad = convolved(x, grad_kernel, None, [1] * len(ctx.padding), ctx.padding)
    grad_x = gradient_of_input(grad, grad_kernel, ctx.padding)
    return grad_grad, grad_x, None, None, None


passed_values = function_of(values, _save, _gradients)
passed_kernel_gradient = function_of(
    kernel_gradient, _save_kernel_gradient, _gradients_of_kernel_gradient
)


def values_fake(
    x: Tensor, kernel: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
) -> Tensor:
    bias = None if bias is None else bias.to(x.dtype)
    return laid_out(values_directly(x, kernel.to(x.dtype), bias, stride, padding))


def kernel_gradient_fake(
    grad: Tensor,
    x: Tensor,
    kernel_size: list[int],
    padding: list[int],
    dtype: torch.dtype | None = None,
) -> Tensor:
    return grad.new_empty(grad.shape[1], 1, *kernel_size, dtype=dtype or x.dtype)


def values_flops(x: torch.Size, kernel: torch.Size, *_, out_shape: torch.Size, **__) -> int:
    return 2 * prod(out_shape) * prod(kernel[2:])


def kernel_gradient_flops(grad: torch.Size, x: torch.Size, kernel_size: list[int], *_, **__) -> int:
    return 2 * prod(grad) * prod(kernel_size)


# By the dimensions of x.
VALUES, KERNEL_GRADIENT = {}, {}
for dimensions, name in ((4, "depthwise_conv2d"), (5, "depthwise_conv3d")):
    operator = torch.library.custom_op(f"mmdcls::{name}", values, mutates_args=())
    operator.register_fake(values_fake)
    operator.register_autograd(_gradients, setup_context=_save)
    # Without it torch's FlopCounterMode passes the operator over.
    register_flop_formula(getattr(torch.ops.mmdcls, name))(values_flops)
    VALUES[dimensions] = operator

    name = f"{name}_kernel_gradient"
    operator = torch.library.custom_op(f"mmdcls::{name}", kernel_gradient, mutates_args=())
    operator.register_fake(kernel_gradient_fake)
    operator.register_autograd(_gradients_of_kernel_gradient, setup_context=_save_kernel_gradient)
    register_flop_formula(getattr(torch.ops.mmdcls, name))(kernel_gradient_flops)
    KERNEL_GRADIENT[dimensions] = operator
