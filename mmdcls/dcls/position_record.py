"""Where elements stand in the course of a training, as lines of JSON from which pictures are drawn.

A line is `{"step": 500, "positions": {OWNER: {"extents": [17, 17], "offsets": [[...], [...]]}}}`:
offsets from the centre, in cells, (axes, kernels, elements), of some kernels of each owner.
"""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .elements import position_owners

# Of each owner, chosen evenly: four stages with 34 elements a kernel make a line of 110 kB.
MOST_KERNELS = 64
# A hundredth of a cell is finer than any picture.
DIGITS = 2


class Kernels(NamedTuple):
    """Some kernels of one owner of positions, at one time."""

    extents: tuple[int, ...]
    offsets: Tensor  # (axes, kernels, elements), in cells


Record = dict[int, dict[str, Kernels]]


def positions_line(model: nn.Module, step: int) -> str:
    """The line for a model after so many steps, of what moves on two axes; ends with a newline."""
    found = {
        name: dict(extents=list(owner.extents), offsets=sampled(owner.positions))
        for name, owner in position_owners(model).items()
        if len(owner.extents) == 2
    }
    return json.dumps(dict(step=step, positions=found)) + "\n"


def sampled(positions: Tensor) -> list:
    kernels = positions.detach().flatten(1, 2)
    # In double precision a rounded number is as short in JSON.
    kept = kernels[:, chosen(kernels.shape[1], MOST_KERNELS)].cpu().double()
    return kept.round(decimals=DIGITS).tolist()


def chosen(count: int, most: int) -> list[int]:
    """Indices, evenly from the first to the last."""
    return torch.linspace(0, count - 1, min(count, most)).round().long().tolist()


def read_positions(path: str | Path) -> Record:
    """By step. What a killed run left of its last line is passed over."""
    whole, _, _ = Path(path).read_text().rpartition("\n")
    return {
        line["step"]: {
            name: Kernels(tuple(kernels["extents"]), torch.tensor(kernels["offsets"], device="cpu"))
            for name, kernels in line["positions"].items()
        }
        for line in map(json.loads, whole.splitlines())
    }
