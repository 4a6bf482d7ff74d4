"""The framework's convolution, for one to three axes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..kernel_formula import without_autocast

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)

# oneDNN 3.12 never returns from some depthwise convolutions in bfloat16 with up to 16 channels,
# such as 8 channels, a 17x17 kernel and a map 32 cells wide.
HANGING_GROUPS = 16

# Of the kernels of depthwise maps that oneDNN 3.12 unrolls with AVX-512, those of these widths take
# up to 2.8 times as long as the first that it does not, with zeros on both sides. Zero times an
# infinity is NaN, so that of an infinite cell one or two values more on either side are NaN.
SLOW_WIDTHS, FAST_WIDTH = range(10, 14), 14


def plain(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int = 0,
    groups: int = 1,
    dilation: Sequence[int] | int = 1,
) -> Tensor:
    """The framework's convolution, in the dtype of its arguments."""
    convolution = CONVOLUTIONS[kernel.dim() - 3]
    in_bfloat16 = runs_in_bfloat16(x) and runs_in_bfloat16(kernel)
    if x.device.type == "cpu" and 1 < groups <= HANGING_GROUPS and in_bfloat16:
        bias = None if bias is None else bias.float()
        with without_autocast("cpu"):
            y = convolution(x.float(), kernel.float(), bias, stride, padding, dilation, groups)
        return y.to(torch.bfloat16)
    return convolution(x, kernel, bias, stride, padding, dilation, groups)


def runs_in_bfloat16(tensor: Tensor) -> bool:
    if torch.is_autocast_enabled("cpu") and tensor.dtype != torch.float64:
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return tensor.dtype == torch.bfloat16


def values_directly(
    x: Tensor, kernel: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
) -> Tensor:
    kernel, padding = widened(x, kernel, padding)
    return plain(x, kernel, bias, stride, padding, x.shape[1])


def widened(x: Tensor, kernel: Tensor, padding: list[int]) -> tuple[Tensor, list[int]]:
    """A depthwise kernel and the padding with which the framework computes the same faster."""
    sizes = zip(x.shape[2:], kernel.shape[2:], padding, strict=True)
    is_slow = (
        kernel.device.type == "cpu"
        and kernel.dtype != torch.float64
        and kernel.dim() == 4
        and kernel.shape[-1] in SLOW_WIDTHS
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        # What the framework refuses, it does with the sizes that it was given.
        and all(cells <= size + 2 * p for size, cells, p in sizes)
    )
    if not is_slow:
        return kernel, padding
    more = -((kernel.shape[-1] - FAST_WIDTH) // 2)
    return F.pad(kernel, (more, more)), [padding[0], padding[1] + more]


def kernel_gradient_of_framework(
    grad: Tensor, x: Tensor, kernel_size: list[int], padding: list[int]
) -> Tensor:
    kernel = x.new_empty(x.shape[1], 1, *kernel_size)
    return framework_gradients(grad, x, kernel, [1] * len(padding), padding, [False, True, False])[
        1
    ]


def framework_gradients(
    grad: Tensor,
    x: Tensor,
    kernel: Tensor,
    stride: list[int],
    padding: list[int],
    mask: list[bool],
) -> tuple[Tensor | None, ...]:
    """Of x, kernel and bias, those in the mask; batched gradients (`torch.func.vmap`) as well."""
    channels, axes = x.shape[1], len(padding)
    arguments = ([channels], stride, padding, [1] * axes, False, [0] * axes, channels, mask)
    return torch.ops.aten.convolution_backward(grad, x, kernel, *arguments)
