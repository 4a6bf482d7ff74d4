"""Train what is not trained yet of the tables, and tell what came out.

    python -m projects.volumes.reproduce choose cells bleached unstained brain nuclei
    python -m projects.volumes.reproduce          # tells anew, and trains nothing

Run it from the repository's root, after `python -m projects.volumes.prepare`. It can be stopped at
any moment, and the same command goes on.
"""

from functools import partial
from pathlib import Path
from typing import Any

from mmdcls.study.cells import Cell
from mmdcls.study.command import Table, reproduce

from .report import RESULTS, write_report

CONFIGS = Path(__file__).resolve().parent / "configs"
DCLS = dict(type="dcls", kernel_size=(5, 9, 9))
# As many parameters in bilinear and in Gaussian elements as in a map's 7x7.
ARMS: dict[str, dict[str, Any]] = {
    "frames_7": dict(type="frames", kernel_size=7),
    "dense_3": dict(type="dense", kernel_size=3),
    "dense_7": dict(type="dense", kernel_size=7),
    "dcls_bilinear": dict(DCLS, kernel_count=12),
    "dcls_gaussian": dict(DCLS, kernel_count=7, interpolation="gaussian"),
}
RATES = (5e-3, 1e-2)
SPREADS = ("normal", "uniform")
# Learning rate and spread with the best nuclei on the validation part, by the table `choose`.
CHOSEN: dict[str, tuple[float, str | None]] = {
    "frames_7": (5e-3, None),
    "dense_3": (1e-2, None),
    "dense_7": (1e-2, None),
    "dcls_bilinear": (1e-2, "normal"),
    "dcls_gaussian": (1e-2, "normal"),
}
SEEDS = dict(choose=1, cells=3, bleached=3, unstained=3, brain=3, nuclei=3)
UNTESTED = dict(test_cfg=None, test_dataloader=None, test_evaluator=None)


def main(arguments: list[str] | None = None) -> None:
    tables = {name: Table(partial(cells_of, name), seeds=seeds) for name, seeds in SEEDS.items()}
    reproduce(__doc__, tables, write_report, RESULTS, arguments)


def cells_of(table: str, seeds: range) -> list[Cell]:
    if table == "choose":
        return [cell for seed in seeds for cell in choosing(seed)]
    return [cell_of(table, arm, seed) for seed in seeds for arm in ARMS]


def cell_of(table: str, arm: str, seed: int) -> Cell:
    """The training of an arm on a data set, with what was chosen for it on the cells."""
    return Cell(table, table, arm, seed, CONFIGS / f"{table}.py", overrides(arm, *CHOSEN[arm]))


def choosing(seed: int) -> list[Cell]:
    """Every rate, and of elements every spread; the test part is not looked at."""
    return [
        Cell(
            "choose",
            "cells",
            "_".join(filter(None, (arm, f"{rate:g}", spread))),
            seed,
            CONFIGS / "cells.py",
            {**overrides(arm, rate, spread), **UNTESTED},
        )
        for arm, kernel in ARMS.items()
        for rate in RATES
        for spread in (SPREADS if kernel["type"] == "dcls" else (None,))
    ]


def overrides(arm: str, rate: float, spread: str | None) -> dict[str, Any]:
    kernel = {**ARMS[arm], "_delete_": True}
    if spread is not None:
        kernel["initial_spread"] = spread
    return {"model.backbone.kernel": kernel, "optim_wrapper.optimizer.lr": rate}


if __name__ == "__main__":
    main()
