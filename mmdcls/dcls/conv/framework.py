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
    return plain(x, kernel, bias, stride, padding, x.shape[1])


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
