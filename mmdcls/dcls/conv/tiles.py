"""The gradient of a depthwise kernel by tiles."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .framework import plain, widened

# Tiles of the gradient of a kernel: large, so that the patches of the input that go with them,
# tile + kernel - 1 wide, are cheap to gather; but twice as large rounds twice as much in float32.
TILE = 32


def kernel_gradient_by_tiles(
    grad: Tensor, x: Tensor, kernel_size: list[int], padding: list[int]
) -> Tensor:
    """One depthwise convolution in the forward direction.

    grad is cut into tiles; every tile is the kernel of a channel of its own, whose input is the
    patch of x that the tile saw. The sum over the tiles is the gradient.
    """
    (n, c, *out_size) = grad.shape
    tile = [min(TILE, size) for size in out_size]
    count = [-(-size // t) for size, t in zip(out_size, tile, strict=True)]
    if count == [1, 1]:
        # The only tile sees all of x, and the convolution itself pads faster.
        patch = list(x.shape[2:])
    else:
        patch = [t + s - 1 for t, s in zip(tile, kernel_size, strict=True)]
        # Room for whole tiles: zeros in grad, whatever lies there in x.
        extra = [k * t - size for k, t, size in zip(count, tile, out_size, strict=True)]
        grad = F.pad(grad, (0, extra[1], 0, extra[0]))
        x = F.pad(x, (padding[1], padding[1] + extra[1], padding[0], padding[0] + extra[0]))
        padding = [0, 0]
    tiles = grad.unfold(2, tile[0], tile[0]).unfold(3, tile[1], tile[1])
    patches = x.unfold(2, patch[0], tile[0]).unfold(3, patch[1], tile[1])
    # (n, c, rows, columns, height, width) -> channels (n, rows, columns, c), c fastest.
    channels = n * count[0] * count[1] * c
    tiles = tiles.permute(0, 2, 3, 1, 4, 5).reshape(channels, 1, *tile)
    patches = patches.permute(4, 5, 0, 2, 3, 1).reshape(1, *patch, channels).permute(0, 3, 1, 2)
    tiles, padding = widened(patches, tiles, padding)
    shares = plain(patches, tiles, padding=padding, groups=channels)
    return (
        shares.view(-1, c, *kernel_size)
        .sum(0, dtype=torch.promote_types(x.dtype, torch.float32))
        .to(x.dtype)
        .unsqueeze(1)
    )
