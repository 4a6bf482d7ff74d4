"""Run the cells of a study, so that it can be stopped at any moment, and go on."""

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from mmdcls.errors import InputError

from .cells import Cell, key_of
from .records import Record, named, path_of, read_records, write_record
from .training import train_cell
from .workers import Alone, Crew

DEVICES = ("cpu", "cuda")


@dataclass
class Outcome:
    """failed: cells, each with the last line of what went wrong.
    left: cells that were not begun before the time was over.
    """

    finished: int = 0
    failed: list[tuple[Cell, str]] = field(default_factory=list)
    left: int = 0

    def add(self, other: "Outcome") -> None:
        self.finished += other.finished
        self.failed += other.failed
        self.left += other.left

    def tell(self, folder: Path) -> None:
        """Print how far the study is; exits with a sentence where cells failed."""
        print(f"{self.finished} cells are done, {self.left} are left.")
        if self.failed:
            cell, why = self.failed[0]
            raise SystemExit(
                f"{len(self.failed)} cells failed, the first {cell} ({why}); "
                f"{failures_of(folder, cell)} says more."
            )


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    workers: int = 1,
    device: str | None = None,
    seconds: float | None = None,
    train: Callable[[Cell], Record] = train_cell,
) -> Outcome:
    """Train what the folder has no records of, in the order given.

    Cells that are one training, under whatever names, are trained once; a record of it in the
    folder, of another table too, is copied. Failures are written to FOLDER/TABLE/failures.log.

    workers: processes, each of which trains one cell after the other, with as many threads as it
        has cores; 0 trains in this process.
    device: "cpu" or "cuda"; None takes a GPU where there is one.
    seconds: no cell begins after so many.
    train: what makes the record of a cell, for other kinds of cells.
    """
    if device not in (None, *DEVICES):
        raise InputError(f"device={device!r} must be one of {', '.join(DEVICES)}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("There is no GPU that torch can use; choose device cpu.")
    if workers < 0:
        raise InputError(f"workers={workers} must be at least 0, which trains in this process.")
    started = time.monotonic()
    outcome = Outcome()
    missing = jobs(cells, folder)
    done = len(cells) - sum(map(len, missing.values()))
    outcome.finished = done
    for log in {failures_of(folder, cell) for cell in cells}:
        log.unlink(missing_ok=True)
    for place in {path_of(folder, cell).parent for same in missing.values() for cell in same}:
        check_place(place)
    crew = Crew(workers, device, train) if workers else Alone(train)
    queue = list(missing.values())[::-1]
    with tqdm(total=len(cells), initial=done, unit="cell", dynamic_ncols=True) as bar, crew:
        while queue or crew.is_busy():
            is_late = seconds is not None and time.monotonic() - started > seconds
            while queue and not is_late and crew.has_room():
                crew.begin(queue.pop())
            if is_late and not crew.is_busy():
                break
            try:
                results = crew.results()
            except KeyboardInterrupt:
                raise SystemExit(
                    f"Stopped: {outcome.finished} cells are done; the same command goes on with "
                    f"the others."
                ) from None
            for same, result in results:
                bar.update(len(same))
                if isinstance(result, str):
                    why = result.strip().rpartition("\n")[2]
                    outcome.failed += [(cell, why) for cell in same]
                    note(failures_of(folder, same[0]), same[0], result)
                    bar.set_postfix_str(f"{same[0]} FAILED")
                    continue
                outcome.finished += len(same)
                for cell in same:
                    write_record(path_of(folder, cell), named(cell, result))
                bar.set_postfix_str(f"{same[0]}: {shown(result)}")
    outcome.left = sum(map(len, queue))
    return outcome


def jobs(cells: Sequence[Cell], folder: Path) -> dict[str, list[Cell]]:
    """By key, the cells without a record, in their order."""
    records = read_records(folder)
    known = {record["key"]: record for record in records.values()}
    missing: dict[str, list[Cell]] = {}
    for cell in cells:
        key, path = key_of(cell), path_of(folder, cell)
        if path in records and records[path]["key"] == key:
            continue
        if key in known:
            write_record(path, named(cell, known[key]))
        else:
            missing.setdefault(key, []).append(cell)
    return missing


def check_place(folder: Path) -> None:
    """Before a training whose record could not be written."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def failures_of(folder: Path, cell: Cell) -> Path:
    return path_of(folder, cell).with_name("failures.log")


def note(log: Path, cell: Cell, what: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(f"{cell}\n{what.rstrip()}\n\n")


def shown(record: Record) -> str:
    """The first metric alone; some have one for every class."""
    return ", ".join(f"{name} {value:.4g}" for name, value in [*record["validation"].items()][:1])
