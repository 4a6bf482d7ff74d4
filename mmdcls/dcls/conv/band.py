"""Depthwise convolution on the tensor cores of NVIDIA GPUs, in Triton: one of the ways.

A row of the kernel is a banded matrix. TILE neighbouring outputs see a window of TILE + S_w - 1
columns of the input, so that kernel row i gives all TILE of them

    window, i rows further down  @  band,    band[k, o] = kernel[i, k - o]

and the sum over i is the convolution. The rows of this product are all (sample, output row, tile of
columns) of a channel. The windows are read from a copy of the input, channel by channel, with zeros
around, whose rows start on 16 bytes. The gradient of the kernel turns the product round: transposed
gradient @ window, whose diagonals, added up, are a row of it.

Sums are in float32 and always in the same order. float32 is multiplied as three products of its
halves in tf32, which rounds about as float32 does. A NaN or an infinity reaches all tiles whose
windows it is in.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launching import launch
from .windows import TILE, blocks, offset_of, window_of

# Rows of outputs of a channel, at least -> rows of them that see a window at once, and bytes of the
# windows of a product. The fastest of several on an H100, on maps of 128, 64, 32 and 16 cells.
GROUPS = {1024: (4, 2**13), 256: (4, 2**12), 0: (1, 2**14)}
# Least and most rows of such a product: tensor cores take 64 at a time.
LEAST_ROWS, MOST_ROWS = 64, 128
# The same of the kernel's gradient: rows of the kernel, and bytes of the gradients of a product.
GRADIENT_GROUP, GRADIENT_BYTES = 4, 128
# Programs among which the gradient's sum is split; a constant, for the same bits on every card.
GRADIENT_PROGRAMS = 2112
# Zeros before a row of the kernel: what a window starts before the outputs that see it, at most.
BEFORE = 32
# Of a copy, channels and columns at a time.
COPY_BLOCK = 64


@triton.jit(do_not_specialize=["C", "H", "W", "rows", "tiles", "top", "left"])
def pack_kernel(x, packed, C, H, W, rows, tiles, top, left, WIDE: tl.constexpr, B: tl.constexpr):
    """x (N, H, W, C) -> packed (N, C, rows, 16 * tiles), zeros around."""
    # Seen to be multiples, so that loads and stores are wide.
    columns = tiles * 16
    if WIDE:
        C = C // 8 * 8
    sample, row = tl.program_id(0) // rows, tl.program_id(0) % rows
    k = tl.program_id(1) * B + tl.arange(0, B)
    c = tl.program_id(2) * B + tl.arange(0, B)
    w = k - left
    h = row - top + 0 * w
    inside = (h >= 0) & (h < H) & (w >= 0) & (w < W)
    source = x + ((sample * H + h) * W + w)[None, :] * C + c[:, None]
    values = tl.load(source, mask=inside[None, :] & (c < C)[:, None], other=0.0)
    target = packed + ((sample * C + c) * rows + row)[:, None] * columns + k[None, :]
    tl.store(target, values, mask=(c < C)[:, None] & (k < columns)[None, :])


@triton.jit(do_not_specialize=["C", "H", "W", "rows", "tiles"])
def unpack_kernel(packed, y, C, H, W, rows, tiles, WIDE: tl.constexpr, B: tl.constexpr):
    """packed (N, C, rows, 16 * tiles) -> y (N, H, W, C), without what is below and to the right."""
    columns = tiles * 16
    if WIDE:
        C = C // 8 * 8
    k = tl.program_id(0) * B + tl.arange(0, B)
    c = tl.program_id(1) * B + tl.arange(0, B)
    sample = tl.program_id(2)
    h, w = k // columns, k % columns
    inside = (c < C)[:, None] & ((h < H) & (w < W))[None, :]
    source = packed + (sample * C + c)[:, None] * (rows * columns) + k[None, :]
    values = tl.load(source, mask=inside)
    target = y + ((sample * H + h) * W + w)[None, :] * C + c[:, None]
    tl.store(target, values, mask=inside)


@triton.jit
def place_of(m, H, tiles, inverse_plane, inverse_tiles):
    """Row m of the product -> sample, row of the map, tile of columns."""
    # A tenth of the cost of dividing integers, and as exact below windows.EXACT.
    sample = ((m + 0.5) * inverse_plane).to(tl.int32)
    rest = m - sample * (H * tiles)
    h = ((rest + 0.5) * inverse_tiles).to(tl.int32)
    return sample, h, rest - h * tiles


@triton.jit(do_not_specialize=["S_h", "S_w", "rows", "above"])
def margin_kernel(
    kernel, out, S_h, S_w, rows, above, BEFORE: tl.constexpr, LENGTH: tl.constexpr, B: tl.constexpr
):
    """kernel (C, S_h, S_w) -> out (C, rows, LENGTH), zeros around."""
    c = tl.program_id(0)
    row = tl.program_id(1) * B + tl.arange(0, B)[:, None]
    place = tl.arange(0, LENGTH)[None, :]
    i, j = row - above, place - BEFORE
    inside = (i >= 0) & (i < S_h) & (j >= 0) & (j < S_w)
    values = tl.load(kernel + (c * S_h + i) * S_w + j, mask=inside, other=0.0)
    tl.store(out + (c * rows + row) * LENGTH + place, values, mask=(row < rows) & (place >= 0))


@triton.jit(do_not_specialize=["C", "M", "groups", "tiles", "rows", "row_tiles", "S_h", "offset"])
def values_kernel(
    packed, margined, bias, y, C, M, groups, tiles, rows, row_tiles, S_h, offset,
    inverse_plane, inverse_tiles,
    HAS_BIAS: tl.constexpr, PRECISION: tl.constexpr, WINDOW: tl.constexpr, GROUP: tl.constexpr,
    BEFORE: tl.constexpr, LENGTH: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """packed (N, C, rows, 16 * row_tiles) -> y (N, C, groups * GROUP, 16 * tiles).

    A row of the product gives GROUP rows of outputs, of which each sees the same row of the input
    through another row of the kernel: a window is read once for all of them.

    margined  the kernel (C, S_h + 2 * GROUP - 2, LENGTH): cell (0, 0) at (GROUP - 1, BEFORE), zeros
              around, so that the bands are read without a mask
    offset    columns of a window before the first that its first output sees
    """
    # Seen to be a multiple of 16, so that loads are wide.
    columns = row_tiles * 16
    c = tl.program_id(1)
    m = tl.program_id(0) * B + tl.arange(0, B)
    sample, group, tile = place_of(
        tl.minimum(m, M - 1), groups, tiles, inverse_plane, inverse_tiles
    )
    k, out = tl.arange(0, WINDOW), tl.arange(0, 16 * GROUP)
    below, o = out // 16, out % 16
    plane = sample * C + c
    start = (plane * rows + group * GROUP) * columns + tile * 16
    windows = packed + start[:, None] + k[None, :]
    bands = margined + c * (S_h + 2 * GROUP - 2) * LENGTH + BEFORE - offset
    cells = ((GROUP - 1 - below) * LENGTH - o)[None, :] + k[:, None]
    total = tl.zeros((B, 16 * GROUP), tl.float32)
    for row in range(S_h + GROUP - 1):
        left = tl.load(windows + row * columns)
        right = tl.load(bands + row * LENGTH + cells)
        total = tl.dot(left, right, total, input_precision=PRECISION)
    if HAS_BIAS:
        total += tl.load(bias + c).to(tl.float32)
    first = ((plane * groups + group) * GROUP * tiles + tile) * 16
    place = first[:, None] + (below * (tiles * 16) + o)[None, :]
    tl.store(y + place, total.to(y.dtype.element_ty), mask=(m < M)[:, None])


@triton.jit(
    do_not_specialize=[
        *("C", "M", "height", "tiles", "rows", "row_tiles", "S_h", "S_w", "offset", "count")
    ]
)
def kernel_gradient_kernel(
    grad, packed, out, C, M, height, tiles, rows, row_tiles, S_h, S_w, offset, count,
    inverse_plane, inverse_tiles,
    PRECISION: tl.constexpr, WINDOW: tl.constexpr, GROUP: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """grad (N, C, height + GROUP - 1, 16 * tiles) with GROUP - 1 rows of zeros above and below,
    packed (N, C, rows, 16 * row_tiles) -> out (splits, C, S_h, S_w).

    A program has GROUP rows of the kernel, each of which sees the same row of the input from
    another row of the gradient, and adds up count blocks of B rows of the product.
    """
    columns, width = row_tiles * 16, tiles * 16
    c, first, split = tl.program_id(0), tl.program_id(1) * GROUP, tl.program_id(2)
    k, across = tl.arange(0, WINDOW), tl.arange(0, 16 * GROUP)
    above, o = across // 16, across % 16
    total = tl.zeros((16 * GROUP, WINDOW), tl.float32)
    for block in range(split * count, split * count + count):
        m = block * B + tl.arange(0, B)
        sample, row, tile = place_of(
            tl.minimum(m, M - 1), height, tiles, inverse_plane, inverse_tiles
        )
        plane = sample * C + c
        start = (plane * (height + GROUP - 1) + row + GROUP - 1) * width + tile * 16
        seen = grad + start[:, None] + (o - above * width)[None, :]
        left = tl.load(seen, mask=(m < M)[:, None], other=0.0)
        start = (plane * rows + first + row) * columns + tile * 16
        right = tl.load(packed + start[:, None] + k[None, :])
        total = tl.dot(tl.trans(left), right, total, input_precision=PRECISION)
    # A cell of the kernel is the sum of a diagonal.
    diagonal = o[:, None] + k[None, :] + offset
    inside = diagonal < WINDOW
    shares = tl.gather(total, tl.where(inside, diagonal, 0), 1)
    cells = tl.sum(tl.reshape(tl.where(inside, shares, 0.0), (GROUP, 16, WINDOW)), 1)
    i, j = first + tl.arange(0, GROUP)[:, None], k[None, :]
    place = ((split * C + c) * S_h + i) * S_w + j
    tl.store(out + place, cells, mask=(i < S_h) & (j < S_w))


def pack(x: Tensor, rows: int, columns: int, top: int = 0, left: int = 0) -> Tensor:
    """x (N, C, H, W), channels_last -> (N, C, rows, columns); columns is a multiple of TILE."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).contiguous()
    # The interpreter takes bfloat16 for whole numbers.
    dtype = torch.float32 if x.device.type == "cpu" else x.dtype
    packed = torch.empty((n, c, rows, columns), dtype=dtype, device=x.device)
    grid = n * rows, blocks(columns, COPY_BLOCK), blocks(c, COPY_BLOCK)
    numbers = c, h, w, rows, columns // TILE, top, left
    launch(pack_kernel, grid, (x, packed), *numbers, WIDE=c % 8 == 0, B=COPY_BLOCK)
    return packed


def unpack(packed: Tensor, h: int, w: int) -> Tensor:
    """(N, C, rows, columns) -> (N, C, h, w), channels_last."""
    n, c, rows, columns = packed.shape
    y = torch.empty((n, h, w, c), dtype=packed.dtype, device=packed.device)
    grid = blocks(rows * columns, COPY_BLOCK), blocks(c, COPY_BLOCK), n
    numbers = c, h, w, rows, columns // TILE
    launch(unpack_kernel, grid, (packed, y), *numbers, WIDE=c % 8 == 0, B=COPY_BLOCK)
    return y.permute(0, 3, 1, 2)


def with_margin(kernel: Tensor, dtype: torch.dtype, above: int, length: int) -> Tensor:
    c, _, s_h, s_w = kernel.shape
    rows = s_h + 2 * above
    out = torch.empty((c, rows, length), dtype=dtype, device=kernel.device)
    constants = dict(BEFORE=BEFORE, LENGTH=length, B=TILE)
    grid = c, blocks(rows, TILE), 1
    launch(margin_kernel, grid, (kernel.contiguous(), out), s_h, s_w, rows, above, **constants)
    return out


def precision_of(dtype: torch.dtype) -> str:
    return "tf32x3" if dtype == torch.float32 else "tf32"


def rows_at_a_time(m: int, most: int) -> int:
    """Of a product of m rows."""
    return max(TILE, min(most, 1 << (m - 1).bit_length()))


def most_rows(window: int, size: int, dtype: torch.dtype) -> int:
    """Of the values' product, for windows of so many bytes."""
    return max(LEAST_ROWS, min(MOST_ROWS, size // (window * dtype.itemsize)))


def values(
    x: Tensor, kernel: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
) -> Tensor:
    n, c, *size = x.shape
    s_h, s_w = kernel.shape[2:]
    h, w = (d + 2 * p - s + 1 for d, p, s in zip(size, padding, (s_h, s_w), strict=True))
    tiles, window = blocks(w, TILE), window_of(s_w, padding[1], x.dtype)
    together, size_of_windows = next(fit for least, fit in GROUPS.items() if n * h * tiles >= least)
    groups, offset = blocks(h, together), offset_of(padding[1])
    rows, columns = groups * together + s_h - 1, TILE * (tiles - 1) + window
    packed = pack(x, rows, columns, padding[0], padding[1] + offset)
    margined = with_margin(kernel, packed.dtype, together - 1, 2 * window)
    y = torch.empty((n, c, groups * together, tiles * TILE), dtype=x.dtype, device=x.device)
    m = n * groups * tiles
    block = rows_at_a_time(m, most_rows(window, size_of_windows, x.dtype))
    launch(
        values_kernel,
        (blocks(m, block), c, 1),
        (packed, margined, packed if bias is None else bias, y),
        *(c, m, groups, tiles, rows, columns // TILE, s_h, offset),
        *(1 / (groups * tiles), 1 / tiles),
        HAS_BIAS=bias is not None,
        PRECISION=precision_of(x.dtype),
        WINDOW=window,
        GROUP=together,
        BEFORE=BEFORE,
        LENGTH=2 * window,
        B=block,
    )
    return unpack(y, h, w)


def kernel_gradient(grad: Tensor, x: Tensor, kernel_size: list[int], padding: list[int]) -> Tensor:
    """In float32."""
    n, c, h, w = grad.shape
    s_h, s_w = kernel_size
    tiles, window = blocks(w, TILE), window_of(s_w, padding[1], x.dtype)
    together, offset = GRADIENT_GROUP, offset_of(padding[1])
    groups, height = blocks(s_h, together), h + together - 1
    rows, columns = groups * together + h - 1, TILE * (tiles - 1) + window
    packed = pack(x, rows, columns, padding[0], padding[1] + offset)
    gradient = pack(grad, height + together - 1, TILE * tiles, together - 1)
    m = n * height * tiles
    block = rows_at_a_time(m, GRADIENT_BYTES // x.element_size())
    count = blocks(blocks(m, block), max(1, GRADIENT_PROGRAMS // (c * groups)))
    splits = blocks(blocks(m, block), count)
    out = torch.empty((splits, c, s_h, s_w), dtype=torch.float32, device=x.device)
    launch(
        kernel_gradient_kernel,
        (c, groups, splits),
        (gradient, packed, out),
        *(c, m, height, tiles, rows, columns // TILE, s_h, s_w, offset, count),
        *(1 / (height * tiles), 1 / tiles),
        PRECISION=precision_of(x.dtype),
        WINDOW=window,
        GROUP=together,
        B=block,
    )
    return out.view(c, 1, s_h, s_w) if splits == 1 else out.sum(0).unsqueeze(1)
