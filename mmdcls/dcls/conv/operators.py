"""Depthwise 2-D convolution with large kernels as `torch.library` operators.

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
from .framework import framework_gradients, plain
from .ways import call_of, choose
from .windows import band_why_not, known_why_not

CHANNELS_LAST = torch.channels_last


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
    if x.dim() != 4 or kernel.dim() != 4:
        return "they work on batches of two-dimensional maps"
    if not groups == x.shape[1] == kernel.shape[0] or kernel.shape[1] > 1:
        return "they need as many groups as input and output channels"
    if bias is not None and bias.shape != kernel.shape[:1]:
        return "they need one bias for each channel"
    if max(dilation) > 1:
        return f"they work at dilation 1, and this dilation is {tuple(dilation)}"
    if any(is_transformed(tensor) for tensor in (x, kernel, bias) if tensor is not None):
        return "custom operators know neither torch.func nor forward-mode differentiation"
    if x.device.type == "cuda":
        # The framework's way needs no operator, which takes time to enter.
        dtype = autocast_dtype(x)
        call = call_of(x, kernel.shape[2:], padding, stride, dtype)
        return band_why_not(call) if torch.compiler.is_compiling() else known_why_not(call)
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
    """As `F.conv2d(x, kernel, bias, stride, padding, groups=channels)`, in x's memory format."""
    dtype = autocast_dtype(x)
    if dtype is not None:
        x = x.to(dtype)
        if not mixes_dtypes(x, kernel, bias):
            kernel, bias = kernel.to(dtype), None if bias is None else bias.to(dtype)
    nchw = x.is_contiguous()
    x = x.contiguous(memory_format=CHANNELS_LAST)
    mixed = dtype is not None and mixes_dtypes(x, kernel, bias)
    if is_traced_away() or not (mixed or fit_together(x, kernel, bias)):
        # The framework refuses what does not fit together.
        y = plain(x, kernel, bias, stride, padding, x.shape[1])
    else:
        y = convolved(x, kernel, bias, list(stride), list(padding))
    return y.contiguous() if nchw else y


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
    """x (N, C, H, W) channels_last, kernel (C, 1, S_h, S_w) -> (N, C, H', W') channels_last."""
    way = choose("values", call_of(x, kernel.shape[2:], padding, stride))
    return way(x, kernel, bias, stride, padding)


depthwise_conv2d = torch.library.custom_op("mmdcls::depthwise_conv2d", values, mutates_args=())


@depthwise_conv2d.register_fake
def _(x: Tensor, kernel: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]):
    bias = None if bias is None else bias.to(x.dtype)
    return F.conv2d(x, kernel.to(x.dtype), bias, stride, padding, groups=x.shape[1])


# Without these, torch's FlopCounterMode passes the operators over.
@register_flop_formula(torch.ops.mmdcls.depthwise_conv2d)
def _(x: torch.Size, kernel: torch.Size, *_, out_shape: torch.Size, **__) -> int:
    return 2 * prod(out_shape) * prod(kernel[2:])


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
    return way(grad, x, kernel_size, padding).to(dtype).contiguous()


depthwise_conv2d_kernel_gradient = torch.library.custom_op(
    "mmdcls::depthwise_conv2d_kernel_gradient", kernel_gradient, mutates_args=()
)


@depthwise_conv2d_kernel_gradient.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    kernel_size: list[int],
    padding: list[int],
    dtype: torch.dtype | None = None,
) -> Tensor:
    return grad.new_empty(grad.shape[1], 1, *kernel_size, dtype=dtype or x.dtype)


@register_flop_formula(torch.ops.mmdcls.depthwise_conv2d_kernel_gradient)
def _(grad: torch.Size, x: torch.Size, kernel_size: list[int], *_, **__) -> int:
    return 2 * prod(grad) * prod(kernel_size)


def convolved(
    x: Tensor, kernel: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
) -> Tensor:
    run = passed_values if passes_by(x) else depthwise_conv2d
    return run(x, kernel, bias, stride, padding)


def gradient_of_kernel(
    grad: Tensor, x: Tensor, kernel_size: list[int], padding: list[int], dtype: torch.dtype
) -> Tensor:
    run = passed_kernel_gradient if passes_by(x) else depthwise_conv2d_kernel_gradient
    return run(grad, x, kernel_size, padding, dtype)


def gradient_of_input(grad: Tensor, kernel: Tensor, padding: list[int]) -> Tensor:
    """From the gradient at stride 1: the values with the kernel turned round."""
    grad, beyond = seen_by_input(grad, list(kernel.shape[2:]), padding)
    return convolved(grad, kernel.flip(2, 3), None, [1, 1], beyond)


def seen_by_input(
    grad: Tensor, kernel_size: list[int], padding: list[int]
) -> tuple[Tensor, list[int]]:
    """The gradient at stride 1 that the turned kernel sees, and its padding."""
    beyond = [size - 1 - p for size, p in zip(kernel_size, padding, strict=True)]
    # Padding wider than the kernel makes values that no cell of the input is in.
    rows, columns = (min(cells, 0) for cells in beyond)
    grad = F.pad(grad, (columns, columns, rows, rows)) if rows or columns else grad
    grad = grad.contiguous(memory_format=CHANNELS_LAST)
    return grad, [max(cells, 0) for cells in beyond]


def at_stride_1(
    grad: Tensor, stride: list[int], x: Tensor, kernel: Tensor, padding: list[int]
) -> Tensor:
    """Zeros between the cells of grad, where stride 1 would have had values."""
    if max(stride) == 1:
        return grad.contiguous(memory_format=CHANNELS_LAST)
    sizes = zip(x.shape[2:], kernel.shape[2:], padding, strict=True)
    full = grad.new_zeros(*grad.shape[:2], *(size + 2 * p - s + 1 for size, s, p in sizes))
    full = full.contiguous(memory_format=CHANNELS_LAST)
    full[:, :, :: stride[0], :: stride[1]] = grad
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
        grad_bias = grad.sum((0, 2, 3), dtype=ctx.bias_dtype)
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
        grad_x = framework_gradients(grad, x, grad_kernel, [1, 1], ctx.padding, mask)[0]
        return grad_grad, grad_x, None, None, None
    grad_grad = convolved(x, grad_kernel, None, [1, 1], ctx.padding)
    grad_x = gradient_of_input(grad, grad_kernel, ctx.padding)
    return grad_grad, grad_x, None, None, None


depthwise_conv2d.register_autograd(_gradients, setup_context=_save)
depthwise_conv2d_kernel_gradient.register_autograd(
    _gradients_of_kernel_gradient, setup_context=_save_kernel_gradient
)
passed_values = function_of(values, _save, _gradients)
passed_kernel_gradient = function_of(
    kernel_gradient, _save_kernel_gradient, _gradients_of_kernel_gradient
)
