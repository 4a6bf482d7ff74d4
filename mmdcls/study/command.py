"""What the commands of studies share: arguments, and tables that are trained one by one."""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmdcls.running.failures import in_a_sentence

from .cells import Cell
from .records import Record
from .run import DEVICES, Outcome, run_cells
from .training import train_cell

Train = Callable[[Cell], Record]


@dataclass(frozen=True)
class Table:
    """cells: those under some seeds.
    train: what trains one of them.
    seeds: how many, unless told.
    """

    cells: Callable[[range], list[Cell]]
    train: Train = train_cell
    seeds: int = 5


def add_arguments(
    parser: argparse.ArgumentParser,
    results: Path,
    seeds: int | None = 5,
    seeds_said: str = "%(default)s",
    device: str | None = None,
) -> None:
    """--seeds, --workers, --device, --seconds, --results."""

    def add(name: str, text: str, **options) -> None:
        parser.add_argument(name, help=text, **options)

    add("--seeds", f"how many; default {seeds_said}", type=natural, default=seeds)
    add("--workers", "processes; 0 is this one; default %(default)s", type=natural, default=1)
    said = "%(default)s" if device else "a GPU where there is one"
    add("--device", f"default {said}", choices=DEVICES, default=device)
    add("--seconds", "begin no cell after so many", type=float)
    add("--results", "folder of the records; default %(default)s", type=Path, default=results)


def natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} must be 0 or more")
    return number


def train_tables(tables: Iterable[tuple[list[Cell], Train]], parsed: argparse.Namespace) -> Outcome:
    """Train the cells of one table after the other, in the time that there is for all of them.

    The next of `tables` is asked for when the one before it is done; one that time has left
    undone is the last.
    """
    until = None if parsed.seconds is None else time.monotonic() + parsed.seconds
    total = Outcome()
    for cells, train in tables:
        seconds = None if until is None else until - time.monotonic()
        workers, device = parsed.workers, parsed.device
        total.add(run_cells(cells, parsed.results, workers, device, seconds, train))
        if total.left:
            break
    return total


def reproduce(
    doc: str,
    tables: Mapping[str, Table],
    write_report: Callable[[Path], Iterable[Path]],
    results: Path,
    arguments: list[str] | None = None,
) -> None:
    """The command that trains on a processor the tables that it is given, and tells what all of
    the records come to."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    text = f"{', '.join(tables)}; none tells what is trained"
    parser.add_argument("tables", help=text, nargs="*", metavar="TABLE")
    said = ", ".join(f"{table.seeds} of {name}" for name, table in tables.items())
    add_arguments(parser, results, seeds=None, seeds_said=said, device="cpu")
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.tables) - tables.keys():
        parser.error(f"{', '.join(sorted(unknown))} is unknown; there are {', '.join(tables)}")
    chosen = []
    for table in (tables[name] for name in parsed.tables):
        seeds = table.seeds if parsed.seeds is None else parsed.seeds
        chosen.append((table.cells(range(seeds)), table.train))
    with in_a_sentence():
        total = train_tables(chosen, parsed)
        for path in write_report(parsed.results):
            print(path)
    if parsed.tables:
        total.tell(parsed.results)
