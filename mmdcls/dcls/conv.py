"""Dense kernel -> convolution, for one to three axes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .cache import is_transformed
from .kernel import without_autocast

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)

# oneDNN 3.12 never returns from some depthwise convolutions in bfloat16 with up to 16 channels,
# such as 8 channels, a 17x17 kernel and a map 32 cells wide.
HANGING_GROUPS = 16

# Tiles of the gradient of a depthwise kernel: as large as possible while the patches of the input
# that go with them, tile + kernel - 1 wide, stay cheap to gather.
TILE = 32


def convolve(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    padding_mode: str,
    groups: int,
) -> Tensor:
    """Convolve with a dense kernel.

    padding       cells before and after, per axis
    padding_mode  "constant" (zeros), "reflect", "replicate" or "circular"
    """
    axes = kernel.dim() - 2
    amount = tuple(before for before, _ in padding)
    if padding_mode != "constant" or any(before != after for before, after in padding):
        sides = [cells for before_after in reversed(padding) for cells in before_after]
        x = F.pad(x, sides, mode=padding_mode)
        amount = (0,) * axes
    if depthwise_why_not(x, kernel, stride, groups) is None:
        return depthwise(x, kernel, bias, amount)
    return plain(x, kernel, bias, stride, amount, groups)


def plain(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: tuple[int, ...] | int = 1,
    padding: Sequence[int] | int = 0,
    groups: int = 1,
) -> Tensor:
    """The framework's convolution, in the dtype of its arguments."""
    convolution = CONVOLUTIONS[kernel.dim() - 3]
    if x.device.type == "cpu" and 1 < groups <= HANGING_GROUPS and runs_in_bfloat16(kernel):
        bias = None if bias is None else bias.float()
        with without_autocast("cpu"):
            y = convolution(x.float(), kernel.float(), bias, stride, padding, groups=groups)
        return y.to(torch.bfloat16)
    return convolution(x, kernel, bias, stride, padding, groups=groups)


def runs_in_bfloat16(kernel: Tensor) -> bool:
    if torch.is_autocast_enabled("cpu") and kernel.dtype != torch.float64:
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return kernel.dtype == torch.bfloat16


def depthwise_why_not(
    x: Tensor, kernel: Tensor, stride: tuple[int, ...], groups: int
) -> str | None:
    """Why the large-kernel depthwise way cannot serve this call, or None if it can."""
    if x.device.type != "cpu":
        return f"it was measured on CPUs only, and the input is on {x.device}"
    if x.dim() != 4 or kernel.dim() != 4:
        return "it works on batches of two-dimensional maps"
    if not groups == x.shape[1] == kernel.shape[0]:
        return "it needs as many groups as input and output channels"
    if max(stride) > 1:
        return f"it needs stride 1, not {stride}"
    if is_transformed(x) or is_transformed(kernel):
        return "custom operators know neither torch.func nor forward-mode differentiation"
    return None


def depthwise(x: Tensor, kernel: Tensor, bias: Tensor | None, padding: tuple[int, ...]) -> Tensor:
    """Depthwise 2-D convolution with stride 1, values as `F.conv2d`, in channels_last inside.

    On CPUs the framework's own way is one to two orders of magnitude slower for large kernels in
    NCHW, and slow in both formats for the gradient of the kernel.
    """
    # Autocast does not reach into custom operators; it leaves float64 alone.
    if torch.is_autocast_enabled("cpu") and x.dtype != torch.float64:
        dtype = torch.get_autocast_dtype("cpu")
        x, kernel, bias = x.to(dtype), kernel.to(dtype), None if bias is None else bias.to(dtype)
    nchw = x.is_contiguous()
    x = x.contiguous(memory_format=torch.channels_last)
    if torch.is_grad_enabled() and kernel.requires_grad and not is_traced_away():
        y = depthwise_conv2d(x, kernel, list(padding))
        y = y if bias is None else y + bias[:, None, None]
    else:
        y = plain(x, kernel, bias, 1, padding, x.shape[1])
    return y.contiguous() if nchw else y


def is_traced_away() -> bool:
    """Whether the graph being traced must run where this package, and its operators, are not."""
    # Strict export traces as the compiler does, and cannot be told apart from it.
    exporting = torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
    return exporting or torch.jit.is_tracing()


@torch.library.custom_op("mmdcls::depthwise_conv2d", mutates_args=())
def depthwise_conv2d(x: Tensor, kernel: Tensor, padding: list[int]) -> Tensor:
    """x (N, C, H, W) channels_last, kernel (C, 1, S_h, S_w) -> (N, C, H', W') channels_last."""
    return plain(x, kernel, padding=padding, groups=x.shape[1])


@depthwise_conv2d.register_fake
def _(x: Tensor, kernel: Tensor, padding: list[int]) -> Tensor:
    return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])


@torch.library.custom_op("mmdcls::depthwise_conv2d_kernel_gradient", mutates_args=())
def depthwise_conv2d_kernel_gradient(
    grad: Tensor, x: Tensor, kernel_size: list[int], padding: list[int]
) -> Tensor:
    """The gradient of the kernel, as one depthwise convolution in the forward direction.

    grad is cut into tiles; every tile is the kernel of a channel of its own, whose input is the
    patch of x that the tile saw. The sum over the tiles is the gradient.
    """
    (n, c, *out_size) = grad.shape
    if n == 0:
        return grad.new_zeros(c, 1, *kernel_size)
    tile = [min(TILE, size) for size in out_size]
    count = [-(-size // t) for size, t in zip(out_size, tile, strict=True)]
    patch = [t + s - 1 for t, s in zip(tile, kernel_size, strict=True)]
    # Room for whole tiles: zeros in grad, whatever lies there in x.
    extra = [k * t - size for k, t, size in zip(count, tile, out_size, strict=True)]
    grad = F.pad(grad, (0, extra[1], 0, extra[0]))
    x = F.pad(x, (padding[1], padding[1] + extra[1], padding[0], padding[0] + extra[0]))
    tiles = grad.unfold(2, tile[0], tile[0]).unfold(3, tile[1], tile[1])
    patches = x.unfold(2, patch[0], tile[0]).unfold(3, patch[1], tile[1])
    # (n, c, rows, columns, height, width) -> channels (n, rows, columns, c), c fastest.
    channels = n * count[0] * count[1] * c
    tiles = tiles.permute(0, 2, 3, 1, 4, 5).reshape(channels, 1, *tile)
    patches = patches.permute(4, 5, 0, 2, 3, 1).reshape(1, *patch, channels).permute(0, 3, 1, 2)
    shares = plain(patches, tiles, padding=(0, 0), groups=channels)
    return (
        shares.view(-1, c, *kernel_size)
        .sum(0, dtype=torch.promote_types(x.dtype, torch.float32))
        .to(x.dtype)
        .unsqueeze(1)
    )


@depthwise_conv2d_kernel_gradient.register_fake
def _(grad: Tensor, x: Tensor, kernel_size: list[int], padding: list[int]) -> Tensor:
    return grad.new_empty(grad.shape[1], 1, *kernel_size)


def transposed(grad: Tensor, kernel: Tensor, padding: list[int]) -> Tensor:
    """The transposed convolution, as a forward one with the turned kernel: faster on CPUs."""
    turned_padding = [size - 1 - p for size, p in zip(kernel.shape[2:], padding, strict=True)]
    if min(turned_padding) < 0:
        return F.conv_transpose2d(grad, kernel, padding=padding, groups=grad.shape[1])
    return plain(grad, kernel.flip(2, 3), padding=turned_padding, groups=grad.shape[1])


def _save(ctx, inputs: tuple, output: Tensor) -> None:
    x, kernel, ctx.padding = inputs
    ctx.save_for_backward(x, kernel)


def _gradients(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, kernel = ctx.saved_tensors
    grad = grad.contiguous(memory_format=torch.channels_last)
    grad_x = grad_kernel = None
    if ctx.needs_input_grad[0]:
        grad_x = transposed(grad, kernel, ctx.padding)
    if ctx.needs_input_grad[1]:
        grad_kernel = depthwise_conv2d_kernel_gradient(grad, x, list(kernel.shape[2:]), ctx.padding)
    return grad_x, grad_kernel, None


def _save_kernel_gradient(ctx, inputs: tuple, output: Tensor) -> None:
    grad, x, _, ctx.padding = inputs
    ctx.save_for_backward(grad, x)


def _gradients_of_kernel_gradient(ctx, grad_kernel: Tensor) -> tuple[Tensor, Tensor, None, None]:
    # The kernel gradient is linear in grad and in x, so that its own gradients are convolutions.
    grad, x = ctx.saved_tensors
    grad_grad = plain(x, grad_kernel, padding=ctx.padding, groups=x.shape[1])
    grad_x = transposed(grad, grad_kernel, ctx.padding)
    return grad_grad, grad_x, None, None


depthwise_conv2d.register_autograd(_gradients, setup_context=_save)
depthwise_conv2d_kernel_gradient.register_autograd(
    _gradients_of_kernel_gradient, setup_context=_save_kernel_gradient
)
