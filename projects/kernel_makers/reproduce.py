"""What the rivals' papers show, made small: train what is not trained yet, and tell what came out.

    python -m projects.kernel_makers.reproduce functions digits
    python -m projects.kernel_makers.reproduce          # tells anew, and trains nothing

Run it from the repository's root; digits after `python -m projects.kernel_makers.prepare`. It can
be stopped at any moment, and the same command goes on.
"""

from pathlib import Path

from mmdcls.study.cells import Cell
from mmdcls.study.command import Table, reproduce

from .functions import FUNCTIONS, MAKERS, fit_cell
from .report import RESULTS, write_report

CONFIGS = Path(__file__).resolve().parent / "configs"


def main(arguments: list[str] | None = None) -> None:
    reproduce(__doc__, TABLES, write_report, RESULTS, arguments)


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


TABLES = dict(functions=Table(function_cells, fit_cell), digits=Table(digit_cells))

if __name__ == "__main__":
    main()
