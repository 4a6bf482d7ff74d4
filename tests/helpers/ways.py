"""Which ways of convolving are taken, and with what."""

from typing import NamedTuple

import pytest
from torch import Tensor

from mmdcls.dcls.conv.ways import WAYS, Way


class Taken(NamedTuple):
    """arguments: numbers as they are, of tensors their shapes."""

    computation: str
    way: str
    arguments: list


def shapes_of(arguments: tuple) -> list:
    return [
        list(value.shape) if isinstance(value, Tensor) else value and list(value)
        for value in arguments
    ]


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Taken]:
    """Every way that is taken on the CPU from here on."""
    record: list[Taken] = []

    def watched(computation: str, name: str, way: Way) -> Way:
        def run(*arguments) -> Tensor:
            record.append(Taken(computation, name, shapes_of(arguments)))
            return way.run(*arguments)

        return way._replace(run=run)

    for computation, ways in WAYS.items():
        table = {name: watched(computation, name, way) for name, way in ways.items()}
        monkeypatch.setitem(WAYS, computation, table)
    return record
