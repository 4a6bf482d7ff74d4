"""How a convolution walks over its input: what `nn.ConvNd` calls stride, padding and dilation."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from .arguments import LARGEST, check_whole, per_axis

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class Geometry(NamedTuple):
    """One number for every axis, or the padding's name."""

    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]


def check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    for name, value in dict(
        in_channels=in_channels, out_channels=out_channels, groups=groups
    ).items():
        check_whole(name, value, least=1, most=LARGEST)
    for name, value in dict(in_channels=in_channels, out_channels=out_channels).items():
        if value % groups:
            raise ValueError(f"{name}={value} must be divisible by groups={groups}")


def checked_geometry(
    stride: int | Sequence[int],
    padding: int | Sequence[int] | str,
    dilation: int | Sequence[int],
    kernel_size: tuple[int, ...],
) -> Geometry:
    axes = len(kernel_size)
    stride = per_axis("stride", stride, axes, least=1)
    if not isinstance(padding, str):
        padding = per_axis("padding", padding, axes, least=0)
    elif padding not in ("same", "valid", "causal"):
        raise ValueError(
            f"padding={padding!r} is unknown; choose 'same', 'valid', 'causal' or numbers"
        )
    elif padding == "same" and max(stride) > 1:
        raise ValueError(f"padding='same' needs stride 1, got stride={stride}")
    return Geometry(stride, padding, per_axis("dilation", dilation, axes, least=1))


def check_causal(padding: object, padding_mode: str) -> None:
    if padding == "causal" and padding_mode != "zeros":
        raise ValueError(
            f"padding='causal' needs padding_mode='zeros', got {padding_mode!r}: before the first "
            f"step there is nothing"
        )


def geometry_of(module: nn.Module) -> Geometry:
    """As its attributes are now: mmseg's MobileNetV3, for one, sets them on finished layers."""
    check_causal(module.padding, module.padding_mode)
    return checked_geometry(module.stride, module.padding, module.dilation, module.kernel_size)


def sides_of(
    padding: tuple[int, ...] | str, kernel_size: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Cells before and after, per axis.

    "same" puts the odd one after, as torch does; "causal" is "same" but on the first axis, time,
    where all are before.
    """
    if padding == "valid":
        return ((0, 0),) * len(kernel_size)
    if padding in ("same", "causal"):
        reach = [(size - 1) * d for size, d in zip(kernel_size, dilation, strict=True)]
        same = [(cells // 2, cells - cells // 2) for cells in reach]
        return tuple(same) if padding == "same" else ((reach[0], 0), *same[1:])
    return tuple((cells, cells) for cells in padding)


def in_numbers(
    padding: tuple[int, ...] | str, kernel_size: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...] | str:
    """A padding by name as numbers, where both sides of each axis get as many cells."""
    sides = sides_of(padding, kernel_size, dilation)
    if any(before != after for before, after in sides):
        return padding
    return tuple(before for before, _ in sides)
