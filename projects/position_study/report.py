"""Tell what the records of the study say: pages of tables, pictures, and verdicts in the README.

    python -m projects.position_study.report

Reads nothing but the records, RESULTS/TABLE/*.json, and tables.py.
"""

import argparse
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from mmdcls.errors import InputError
from mmdcls.running.failures import in_a_sentence
from mmdcls.study.page import page_of as page_of_study
from mmdcls.study.records import Record, read_records
from mmdcls.study.statistics import DOES_NOT, HOLDS, smallest_as_good
from mmdcls.study.text import (
    KERNEL_FIGURES,
    changes_text,
    difference_text,
    interval_text,
    markdown,
)
from projects.position_study.pictures import draw
from projects.position_study.recipes import Figures, best_recipe, figures_of
from projects.position_study.study import RESULTS
from projects.position_study.summaries import Row, Verdict, of_table, rows_of, verdicts_of
from projects.position_study.tables import COUNTS, DATA, DCLS, SIZES, TABLES

# What `fields.field_figures` tells.
FIELDS = dict(field_50="half of the field, px", field_99="99 % of the field, px")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="default %(default)s")
    parsed = parser.parse_args(arguments)
    with in_a_sentence():
        if not parsed.results.is_dir():
            raise InputError(
                f"There is no folder {parsed.results}; name the one that was --results of "
                f"projects.position_study.study."
            )
        records = list(read_records(parsed.results).values())
        for path, text in pages_of(records, parsed.results).items():
            path.write_text(text)
            print(path)
        for name in tables_in(records):
            path = parsed.results / f"{name}.png"
            draw(TABLES[name], rows_of(records, name), path)
            print(path)


def pages_of(records: list[Record], folder: Path) -> dict[Path, str]:
    """Text by path: a page for each table, and the summary, which of the study's own results
    stands in its README."""
    pages = {folder / f"{name}.md": page_of(records, name) for name in tables_in(records)}
    path, text = page_of_study(partial(summary_of, records), folder, RESULTS)
    return pages | {path: text}


def tables_in(records: Iterable[Record]) -> list[str]:
    found = {record["table"] for record in records}
    return [name for name in TABLES if name in found]


def summary_of(records: list[Record], folder: str = "") -> str:
    names = tables_in(records)
    if not names:
        return "No cell is trained."
    parts = []
    for name in names:
        parts += [f"### {TABLES[name].question}", extent(records, name)]
        parts += [verdict_table(verdicts_of(records, name))]
        if name == "recipe":
            parts += chosen(figures_of(records, name, "validation"))
        if name == "size":
            parts += reached(figures_of(records, name, TABLES[name].part))
        parts += [f"![{TABLES[name].question}]({folder}{name}.png)"]
        parts += [f"[All figures]({folder}{name}.md)"]
    return "\n\n".join(parts)


def extent(records: Iterable[Record], name: str) -> str:
    mine = of_table(records, name)
    seeds = Counter((record["data"], record["arm"]) for record in mine).values()
    many = str(max(seeds)) if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
    many += " seed" if many == "1" else " seeds"
    devices = ", ".join(sorted({record["device"] for record in mine}))
    return (
        f"{len(mine)} trainings of {mine[0]['steps']} steps, {many}, on {devices}; judged on the "
        f"{TABLES[name].part} part."
    )


def verdict_table(verdicts: list[Verdict]) -> str:
    rows = []
    for verdict in verdicts:
        on = {
            words: [DATA[data].title for data, found in verdict.on.items() if found == words]
            for words in (HOLDS, DOES_NOT)
        }
        said = [f"{words}: {' / '.join(titles)}" for words, titles in on.items() if titles]
        shown = difference_text(verdict.difference)
        rows.append(
            [
                verdict.claim.sentence,
                verdict.words,
                shown,
                "; ".join(said) if verdict.on else "not trained",
            ]
        )
    return markdown(["claim", "verdict", "difference, points", "on single data sets"], rows)


def chosen(figures: Figures) -> list[str]:
    best = {name: best_recipe(figures, judged=name) for name in DATA}
    rows = [[DATA[name].title, arm] for name, arm in best.items() if arm]
    table = markdown(["judged on", "best recipe on the others"], rows)
    return [table] if rows else []


def reached(figures: Figures) -> list[str]:
    """For every data set, the smallest kernel and the fewest elements that are as good as the best,
    beside the usual number of the other."""
    count, size = DCLS["kernel_count"], DCLS["kernel_size"]
    axes = ({s: f"{count}-in-{s}" for s in SIZES}, {c: f"{c}-in-{size}" for c in COUNTS})
    rows = []
    for data, arms in figures.items():
        row = [DATA[data].title]
        for axis in axes:
            found = {value: arms.get(arm, {}) for value, arm in axis.items()}
            # One seed has no interval.
            tells = min(map(len, found.values())) > 1
            row.append(str(smallest_as_good(found)) if tells else "")
        rows.append(row)
    header = ["not shown to be worse than the best", f"smallest size, {count} elements"]
    return [markdown([*header, f"fewest elements, {size} cells"], rows)] if rows else []


def page_of(records: list[Record], name: str) -> str:
    table, rows = TABLES[name], rows_of(records, name)
    compared = sum(row.p is not None for row in rows)
    single = any(row.judged.half is None for row in rows)
    lone = " What has no interval is of one seed." if single else ""
    parts = [
        f"# {table.question}",
        extent(records, name),
        f"Figures are means over seeds in points of 100, with half of their 95 % interval "
        f"(Student's t). Differences are to {table.reference}, paired by seed; p is of Student's "
        f"paired test, after Holm over the {compared} comparisons of this page.{lone}",
        f"![{table.question}]({name}.png)",
    ]
    for data, rule in DATA.items():
        mine = [row for row in rows if row.data == data]
        if mine:
            parts += [f"## {rule.title}", figure_table(mine, table.part), cost_table(mine)]
    return "\n\n".join(parts) + "\n"


def figure_table(rows: list[Row], part: str) -> str:
    header = ["arm", "validation", "test", "difference", "p", "recipe"]
    lines = [
        [
            row.arm,
            interval_text(row.validation),
            interval_text(row.judged),
            difference_text(row.difference),
            "" if row.p is None else f"{row.p:.3f}",
            row.recipe,
        ]
        for row in rows
    ]
    # Columns without an entry, and what nobody shall look at.
    hidden = {2} if part == "validation" else set()
    hidden |= {i for i in range(len(header)) if not any(line[i] for line in lines)}
    kept = [i for i in range(len(header)) if i not in hidden]
    return markdown([header[i] for i in kept], [[line[i] for i in kept] for line in lines])


def cost_table(rows: list[Row]) -> str:
    told = KERNEL_FIGURES | FIELDS
    header = ["arm", "parameters", "million multiply-adds", "ms a step", *told.values()]
    lines = [
        [
            row.arm,
            f"{row.parameters:,}",
            "" if row.multiply_adds is None else f"{row.multiply_adds / 1e6:.1f}",
            "" if row.seconds is None else f"{1e3 * row.seconds:.0f}",
            *changes_text(row.before, row.after, told),
        ]
        for row in rows
    ]
    # Older records tell nothing of fields.
    kept = [i for i in range(len(header)) if i < 4 or any(line[i] for line in lines)]
    return markdown([header[i] for i in kept], [[line[i] for i in kept] for line in lines])


if __name__ == "__main__":
    main()
