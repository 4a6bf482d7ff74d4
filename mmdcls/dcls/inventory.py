"""The convolutions of a network as a short table: those of one kind in one line."""

import re
from dataclasses import dataclass

from torch import nn

from .rules import convolutions_of, in_cells, kind_of

LETTERS = "NMKLJI"


@dataclass(frozen=True)
class Row:
    """Convolutions whose names differ in numbers of stages, blocks and positions in a list."""

    pattern: str
    kernel_size: tuple[int, ...]
    kind: str
    names: tuple[str, ...]
    widths: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    dilations: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        text = (
            f"{self.pattern}  {len(self.names)} x {in_cells(self.kernel_size)} {self.kind}, "
            f"channels {'/'.join(map(str, self.widths))}"
        )
        for name, values in (("stride", self.strides), ("dilation", self.dilations)):
            if any(max(value) > 1 for value in values):
                text += f", {name} {', '.join(map(in_cells, values))}"
        return text


def inventory(model: nn.Module) -> list[Row]:
    """The plain convolutions of more than one cell, which a rule can name."""
    kinds: dict[tuple, dict[str, nn.Module]] = {}
    for name, conv in convolutions_of(model).items():
        if max(conv.kernel_size) > 1:
            key = pattern_of(name), tuple(conv.kernel_size), kind_of(conv)
            kinds.setdefault(key, {})[name] = conv
    return [
        Row(
            *key,
            names=tuple(convs),
            widths=tuple(dict.fromkeys(conv.out_channels for conv in convs.values())),
            strides=tuple(dict.fromkeys(tuple(conv.stride) for conv in convs.values())),
            dilations=tuple(dict.fromkeys(tuple(conv.dilation) for conv in convs.values())),
        )
        for key, convs in kinds.items()
    ]


def pattern_of(name: str) -> str:
    """A name with letters for numbers: "layer1.0.conv2" -> "layerN.M.conv2".

    The first, if parts follow, and those that are a part by themselves.
    """
    letters = iter(LETTERS)
    numbers = re.compile(r"^(\D*)\d+(?=\.)|(?<![^.])\d+(?![^.])")
    return numbers.sub(lambda found: (found[1] or "") + next(letters, found[0]), name)
