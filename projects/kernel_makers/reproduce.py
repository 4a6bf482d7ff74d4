"""What the rivals' papers show, made small: train what is not trained yet, and tell what came out.

    python -m projects.kernel_makers.reproduce functions digits
    python -m projects.kernel_makers.reproduce          # tells anew, and trains nothing

Run it from the repository's root; digits after `python -m projects.kernel_makers.prepare`. It can
be stopped at any moment, and the same command goes on.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from mmdcls.running.failures import in_a_sentence
from mmdcls.study.cells import Cell
from mmdcls.study.records import Record
from mmdcls.study.run import Outcome, run_cells
from mmdcls.study.training import train_cell

from .functions import FUNCTIONS, MAKERS, fit_cell
from .report import RESULTS, write_report

CONFIGS = Path(__file__).resolve().parent / "configs"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])

    def add(name: str, text: str, **options) -> None:
        parser.add_argument(name, help=text, **options)

    add("tables", f"{', '.join(TABLES)}; none tells what is trained", nargs="*", metavar="TABLE")
    add("--seeds", "how many; default %(default)s", type=int, default=5)
    add("--workers", "processes; 0 is this one; default %(default)s", type=int, default=1)
    add("--seconds", "begin no cell after so many", type=float)
    add("--results", "folder of the records; default %(default)s", type=Path, default=RESULTS)
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.tables) - set(TABLES):
        parser.error(f"{', '.join(sorted(unknown))} is unknown; there are {', '.join(TABLES)}")
    until = None if parsed.seconds is None else time.monotonic() + parsed.seconds
    total = Outcome()
    with in_a_sentence():
        for name in parsed.tables:
            cells, train = TABLES[name]
            seconds = None if until is None else until - time.monotonic()
            chosen = cells(range(parsed.seeds))
            total.add(run_cells(chosen, parsed.results, parsed.workers, "cpu", seconds, train))
        for path in write_report(parsed.results):
            print(path)
    if parsed.tables:
        total.tell(parsed.results)


def function_cells(seeds: range) -> list[Cell]:
    return [
        Cell(
            "functions",
            function,
            maker,
            seed,
            CONFIGS / "functions.py",
            {"train_dataloader.function": function, "model.maker": maker},
        )
        for seed in seeds
        for function in FUNCTIONS
        for maker in MAKERS
    ]


def digit_cells(seeds: range) -> list[Cell]:
    return [Cell("digits", "digits", "ckcnn", seed, CONFIGS / "digits.py") for seed in seeds]


# The cells of some seeds, and what trains one of them.
TABLES: dict[str, tuple[Callable[[range], list[Cell]], Callable[[Cell], Record]]] = dict(
    functions=(function_cells, fit_cell), digits=(digit_cells, train_cell)
)

if __name__ == "__main__":
    main()
