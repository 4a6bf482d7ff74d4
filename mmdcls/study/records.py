"""What is kept of a finished cell: one small file of JSON, FOLDER/TABLE/DATA.ARM.SEED.json."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from mmdcls.errors import InputError

from .cells import Cell

Record = dict[str, Any]
# As precise as a float of 32 bits.
DIGITS = 7
# What every record tells, whatever kind of cell it is of.
NAMES = ("table", "data", "arm", "seed", "overrides", "key", "validation", "test")


def path_of(folder: Path, cell: Cell) -> Path:
    return folder / cell.table / f"{cell.data}.{cell.arm}.{cell.seed}.json"


def read_records(folder: Path) -> dict[Path, Record]:
    """Of all tables, in the order of their names.

    Raises InputError for a file that is damaged, or is something else.
    """
    records = {}
    for path in sorted(folder.glob("*/*.json")):
        try:
            records[path] = json.loads(path.read_text())
        except ValueError as error:
            raise InputError(f"{path} is damaged ({error}); delete it.") from error
        if not isinstance(records[path], dict) or any(name not in records[path] for name in NAMES):
            raise InputError(
                f"{path} is no record of a study, which tells of {', '.join(NAMES)}; delete it, or "
                f"name another folder."
            )
    return records


def write_record(path: Path, record: Record) -> None:
    """All of it or nothing, whenever the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(rounded(record), indent=1, allow_nan=False) + "\n")
    os.replace(part, path)


def named(cell: Cell, record: Record) -> Record:
    """The record as the cell's table calls it."""
    names = dict(
        table=cell.table,
        data=cell.data,
        arm=cell.arm,
        seed=cell.seed,
        overrides=plain(cell.overrides),
    )
    return {**names, **{name: value for name, value in record.items() if name not in names}}


def means(figures: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure over those that have it; NaN where one is not finite, None in its record."""
    many = list(figures)
    return {
        name: fmean(math.nan if one[name] is None else one[name] for one in many if name in one)
        for name in dict.fromkeys(name for one in many for name in one)
    }


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def rounded(value: Any) -> Any:
    """JSON has no numbers that are not finite: None is written for them."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
