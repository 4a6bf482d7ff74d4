"""The best recipe for a data set, chosen on the others: none is judged where it was chosen."""

from collections.abc import Collection, Iterable
from statistics import fmean

from mmdcls.errors import InputError
from mmdcls.study.records import Record
from projects.position_study.tables import DATA, RECIPE, Data

# By data set, arm and seed.
Figures = dict[str, dict[str, dict[int, float]]]


def figures_of(
    records: Iterable[Record], table: str, part: str, data: dict[str, Data] = DATA
) -> Figures:
    """What judges, in points of 100. Raises InputError for a record where it is not finite, or not
    there."""
    figures: Figures = {}
    for record in records:
        if record["table"] != table or record["data"] not in data:
            continue
        rule = data[record["data"]]
        value = record[part].get(rule.figure)
        name = f"The record of {table}, {record['data']}, {record['arm']}, seed {record['seed']}"
        if value is None and rule.figure in record[part]:
            raise InputError(
                f"{name} has a {rule.figure} of the {part} part that is not finite: the training "
                f"diverged; take the arm out of tables.py, and its records away."
            )
        if value is None:
            raise InputError(
                f"{name} has no {rule.figure} of the {part} part, but "
                f"{', '.join(record[part]) or 'none'}; give the data's figure in tables.py."
            )
        arms = figures.setdefault(record["data"], {})
        arms.setdefault(record["arm"], {})[record["seed"]] = rule.scale * value
    return figures


def best_recipe(
    figures: Figures, judged: str, arms: Collection[str] = tuple(RECIPE.arms)
) -> str | None:
    """The arm with the best mean figure over all data sets but the judged one.

    figures: of the recipe's table, on the validation part. A data set counts once every arm is
    there, with the seeds that all arms have; None where none counts.
    """
    means: dict[str, list[float]] = {arm: [] for arm in arms}
    for data, of in figures.items():
        if data == judged or not of.keys() >= set(arms):
            continue
        seeds = set.intersection(*(set(of[arm]) for arm in arms))
        for arm in arms if seeds else ():
            means[arm].append(fmean(of[arm][seed] for seed in seeds))
    if not all(means.values()):
        return None
    return max(arms, key=lambda arm: fmean(means[arm]))
