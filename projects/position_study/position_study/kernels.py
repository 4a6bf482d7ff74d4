"""The kernel makers: what the depthwise convolutions of the study's network can be.

To add one, add a row to `KERNELS`: a function that makes a stage of the network and draws the
weights of its depthwise convolutions. All others are drawn anew, the same for every maker.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from mmdcls.dcls import INTERPOLATIONS, Dcls2d, position_owners
from mmdcls.dcls.positions import position_limits
from mmdcls.models.convnext import Block, Stage
from projects.kernel_makers.kernel_makers import GeneratedConv2d, ckconv, flexconv

DENSE_CELLS = 7 * 7  # of the kernel whose parameters a neutral count of elements has


class PlainStage(nn.Sequential):
    """Blocks whose convolutions need nothing but their input."""

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = block(x, None)
        return x


def neutral_count(depth: int, interpolation: str, share_positions: bool) -> int:
    """The number of elements with which a stage comes closest to the parameters of a dense 7x7.

    An element has a weight in each of the stage's blocks and two coordinates, with the two widths
    of an interpolation that has them, once for the stage or in each of its blocks.
    """
    places = 4 if INTERPOLATIONS[interpolation].has_sigma else 2
    parameters = depth + places * (1 if share_positions else depth)
    return round(DENSE_CELLS * depth / parameters)


def dcls(
    width: int,
    depth: int,
    new_block: Callable[[nn.Module], Block],
    *,
    kernel_size: int | tuple[int, int] = 17,
    kernel_count: int | None = None,
    interpolation: str = "bilinear",
    share_positions: bool = True,
    **options,
) -> Stage:
    """Positions that learn. kernel_count: None for the count neutral in parameters; options of
    `Dcls2d` beside these, such as initial_spread, reach it.
    """
    count = kernel_count or neutral_count(depth, interpolation, share_positions)
    convs = [
        Dcls2d(
            width,
            width,
            kernel_size,
            padding="same",
            groups=width,
            kernel_count=count,
            interpolation=interpolation,
            share_positions=share_positions,
            **options,
        )
        for _ in range(depth)
    ]
    return Stage([new_block(conv) for conv in convs], share_positions)


def frozen(
    width: int,
    depth: int,
    new_block: Callable[[nn.Module], Block],
    *,
    grid: bool = False,
    **options,
) -> Stage:
    """The same, with positions and widths that stay where they started.

    grid: they stand on a regular grid over the whole kernel, as the cells of a dilated convolution
        do; of a square grid that has more places than there are elements, the innermost are taken.
    """
    stage = dcls(width, depth, new_block, **options)
    for owner in position_owners(stage).values():
        if grid:
            count = owner.positions.shape[-1]
            with torch.no_grad():
                owner.positions.copy_(regular_grid(count, owner.kernel_size)[:, None, None])
        owner.positions.requires_grad_(False)
        if owner.sigma is not None:
            owner.sigma.requires_grad_(False)
    return stage


def regular_grid(count: int, kernel_size: tuple[int, int]) -> Tensor:
    """Whole offsets from the centre, (2, count), evenly spread from border to border."""
    side = math.isqrt(count - 1) + 1
    limits = map(position_limits, kernel_size)
    axes = [torch.linspace(low, high, side).round() for low, high in limits]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    innermost = places.square().sum(0).argsort(stable=True)[:count]
    return places[:, innermost.sort().values]


def dense(
    width: int,
    depth: int,
    new_block: Callable[[nn.Module], Block],
    *,
    kernel_size: int,
    dilation: int = 1,
) -> PlainStage:
    """Plain convolutions, every cell of which has a weight."""
    convs = [
        nn.Conv2d(width, width, kernel_size, padding="same", dilation=dilation, groups=width)
        for _ in range(depth)
    ]
    return PlainStage(*(new_block(conv) for conv in convs))


def generated(
    make: Callable[..., GeneratedConv2d],
    width: int,
    depth: int,
    new_block: Callable[[nn.Module], Block],
    **options,
) -> PlainStage:
    """Kernels that small networks draw, one network in each block."""
    return PlainStage(*(new_block(make(width, **options)) for _ in range(depth)))


KERNELS: dict[str, Callable[..., nn.Module]] = {
    "dcls": dcls,
    "frozen": frozen,
    "dense": partial(dense, kernel_size=7),
    "dilated": partial(dense, kernel_size=3, dilation=3),
    "ckconv": partial(generated, ckconv),
    "flexconv": partial(generated, flexconv),
}
