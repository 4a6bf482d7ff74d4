"""Train the cells of one or more tables of the study; what is trained already is not trained again.

    python -m projects.position_study.study recipe --seeds 1
    python -m projects.position_study.study pays --data garments_segmentation --workers 2

Run it from the repository's root, after `python -m projects.position_study.prepare`. It can be
stopped at any moment, and the same command goes on. `python -m projects.position_study.report`
tells what came out.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mmdcls.errors import InputError
from mmdcls.running.failures import in_a_sentence
from mmdcls.study.cells import Cell
from mmdcls.study.command import Train, add_arguments, train_tables
from mmdcls.study.records import read_records
from mmdcls.study.training import train_cell
from projects.position_study.fields import field_figures
from projects.position_study.recipes import Figures, best_recipe, figures_of
from projects.position_study.tables import DATA, RECIPE, TABLES, Arm, overrides_of

RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: list[str] | None = None) -> None:
    parsed = parse_arguments(arguments)
    train = partial(train_cell, figures_of=field_figures)

    def cells() -> Iterator[tuple[list[Cell], Train]]:
        # The other tables take the recipe that the first finds.
        for is_first in (True, False):
            tables = [name for name in parsed.tables if (name == "recipe") is is_first]
            if tables:
                yield cells_of(tables, parsed), train

    with in_a_sentence():
        total = train_tables(cells(), parsed)
    total.tell(parsed.results)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])

    def add(name: str, text: str, **options) -> None:
        parser.add_argument(name, help=text, **options)

    add("tables", ", ".join(TABLES), nargs="+", choices=TABLES, metavar="TABLE")
    add(
        "--data",
        f"default all: {', '.join(DATA)}",
        nargs="+",
        choices=DATA,
        default=list(DATA),
        metavar="NAME",
    )
    add_arguments(parser, RESULTS)
    add(
        "--recipe",
        "an arm of the table recipe, for all data; default for each the best on the others",
        choices=RECIPE.arms,
        metavar="ARM",
    )
    parsed = parser.parse_args(arguments)
    parsed.tables = list(dict.fromkeys(parsed.tables))
    for name in parsed.tables:
        on = TABLES[name].data or tuple(DATA)
        if not set(on) & set(parsed.data):
            parser.error(f"{name} is trained on {', '.join(on)} alone; give one as --data")
    return parsed


def cells_of(tables: Sequence[str], parsed: argparse.Namespace) -> list[Cell]:
    """Every table and data set under one seed before any under the next, so that what is not
    reached lacks seeds and no comparison."""
    recipes = dict.fromkeys(parsed.data)
    if any(arm.recipe for table in tables for arm in TABLES[table].arms.values()):
        records = read_records(parsed.results).values()
        figures = figures_of(records, "recipe", "validation")
        recipes = {name: recipe_for(name, figures, parsed.recipe) for name in parsed.data}
    return [
        Cell(table, name, label, seed, DATA[name].path, overrides_of(arm, recipes[name]))
        for seed in range(parsed.seeds)
        for table in tables
        for name in parsed.data
        if name in (TABLES[table].data or DATA)
        for label, arm in TABLES[table].arms_under(seed).items()
    ]


def recipe_for(data: str, figures: Figures, chosen: str | None) -> Arm:
    best = chosen or best_recipe(figures, judged=data)
    if best is None:
        raise InputError(
            f"{data} is judged with the best recipe found on other data, and the table recipe is "
            f"finished on none: run it first, or give --recipe ARM."
        )
    return RECIPE.arms[best]


if __name__ == "__main__":
    main()
