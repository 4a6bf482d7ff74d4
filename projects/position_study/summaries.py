"""What the records of a table say: for every arm on every data set, and for every claim."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from mmdcls.errors import InputError
from mmdcls.study.records import Record, means
from mmdcls.study.statistics import (
    OPEN,
    Difference,
    Interval,
    holm,
    paired_difference,
    t_interval,
    verdict,
)
from projects.position_study.recipes import Figures, figures_of
from projects.position_study.tables import DATA, RECIPE, TABLES, Claim, Table, overrides_of

# What is told of a training, beside what names it and its figures.
COSTS = ("parameters", "multiply_adds", "steps", "seconds_per_step", "before", "after", "device")


@dataclass(frozen=True)
class Row:
    """An arm on a data set; figures in points of 100.

    difference: to the table's reference, paired by seed; p: of it, after Holm over the table.
    seconds: of a training step, on the device where most of the table was trained.
    """

    data: str
    arm: str
    validation: Interval
    judged: Interval
    difference: Difference | None
    p: float | None
    recipe: str
    parameters: int
    multiply_adds: int | None
    seconds: float | None
    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """difference: over the seeds that all data sets with both arms have, each the mean over these
    data sets; None where there is no such seed. on: the verdict on each of them."""

    claim: Claim
    difference: Difference | None
    on: dict[str, str]

    @property
    def words(self) -> str:
        return verdict_on(self.difference)


def verdict_on(difference: Difference | None) -> str:
    return verdict(difference.interval) if difference else OPEN


def of_table(records: Iterable[Record], name: str) -> list[Record]:
    """Raises InputError for records that tables.py does not know, and for an arm whose seeds were
    trained under different settings."""
    mine = [record for record in records if record["table"] == name]
    settings: dict[tuple[str, str], dict] = {}
    for record in mine:
        data, arm = record["data"], record["arm"]
        if data not in DATA or arm not in TABLES[name].arms:
            raise InputError(
                f"tables.py has no arm {arm} of {data} in the table {name}; delete its records."
            )
        if lacking := [cost for cost in COSTS if cost not in record]:
            raise InputError(
                f"The record of {name}, {data}, {arm}, seed {record['seed']} lacks "
                f"{', '.join(lacking)}: delete it, and run projects.position_study.study {name} "
                f"again."
            )
        if settings.setdefault((data, arm), record["overrides"]) != record["overrides"]:
            raise InputError(
                f"The seeds of {name}, {data}, {arm} were trained under different settings; run "
                f"projects.position_study.study {name} again, which trains the outdated ones anew."
            )
    return mine


def rows_of(records: Iterable[Record], name: str) -> list[Row]:
    """In the order of the data sets and arms of tables.py."""
    table, records = TABLES[name], of_table(records, name)
    validation, judged = (figures_of(records, name, part) for part in ("validation", table.part))
    devices = Counter(record["device"] for record in records)
    device = devices.most_common(1)[0][0] if devices else ""
    cells = [(data, arm) for data in DATA for arm in table.arms if arm in judged.get(data, {})]
    differences = {
        (data, arm): paired_difference(judged[data][arm], judged[data].get(table.reference, {}))
        for data, arm in cells
        if arm != table.reference
    }
    tested = [cell for cell, difference in differences.items() if difference]
    adjusted = holm([differences[cell].p for cell in tested])
    corrected = dict(zip(tested, adjusted, strict=True))
    rows = []
    for data, arm in cells:
        same = [record for record in records if (record["data"], record["arm"]) == (data, arm)]
        timed = [record["seconds_per_step"] for record in same if record["device"] == device]
        rows.append(
            Row(
                data=data,
                arm=arm,
                validation=t_interval(list(validation[data][arm].values())),
                judged=t_interval(list(judged[data][arm].values())),
                difference=differences.get((data, arm)),
                p=corrected.get((data, arm)),
                recipe=recipe_of(table, arm, same[0]["overrides"]),
                parameters=same[0]["parameters"],
                multiply_adds=same[0]["multiply_adds"],
                seconds=median(timed) if timed else None,
                before=means(record["before"] for record in same),
                after=means(record["after"] for record in same),
            )
        )
    return rows


def recipe_of(table: Table, arm: str, overrides: dict[str, Any]) -> str:
    """What it has taken: an arm of the recipe's table, its initial spread, or "" for nothing."""
    if table.arms[arm].recipe is None:
        return ""
    for name, recipe in RECIPE.arms.items():
        if overrides_of(table.arms[arm], recipe) == overrides:
            return name if table.arms[arm].recipe == "whole" else recipe.kernel["initial_spread"]
    raise InputError(
        f"The recipe of {arm} is none that tables.py has; run study.py again, which trains it anew."
    )


def verdicts_of(records: Iterable[Record], name: str) -> list[Verdict]:
    table = TABLES[name]
    figures = figures_of(of_table(records, name), name, table.part)
    return [verdict_of(claim, figures) for claim in table.claims]


def verdict_of(claim: Claim, figures: Figures) -> Verdict:
    pairs = {
        data: (figures[data][claim.arm], figures[data][claim.than])
        for data in DATA
        if {claim.arm, claim.than} <= figures.get(data, {}).keys()
    }
    on = {data: verdict_on(paired_difference(*pair)) for data, pair in pairs.items()}
    if not pairs:
        return Verdict(claim, None, on)
    seeds = set.intersection(*(set(ours) & set(theirs) for ours, theirs in pairs.values()))
    ours, theirs = (
        {seed: fmean(pair[side][seed] for pair in pairs.values()) for seed in seeds}
        for side in (0, 1)
    )
    return Verdict(claim, paired_difference(ours, theirs), on)
