"""Tables and a picture of what the records say, and nothing else."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from mmdcls.study.page import write_page
from mmdcls.study.records import Record, read_records
from mmdcls.study.statistics import Interval, t_interval
from mmdcls.study.text import interval_text, markdown

from .functions import FUNCTIONS, MAKERS

RESULTS = Path(__file__).resolve().parent / "results"
# arXiv 2102.02611, 98 thousand parameters, all 60,000 digits, 200 epochs.
PUBLISHED = 99.31
DPI = 110


def write_report(folder: Path) -> list[Path]:
    """Of the project's own results into its README, of others into one beside them."""
    records = list(read_records(folder).values())
    path = write_page(partial(summary_of, records), folder, RESULTS)
    errors = errors_of(records)
    if not errors:
        return [path]
    picture = folder / "functions.png"
    draw(errors, picture)
    return [path, picture]


def errors_of(records: Iterable[Record]) -> dict[tuple[str, str], Interval]:
    """By maker and function, over seeds."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if record["table"] == "functions":
            place = record["arm"], record["data"]
            found.setdefault(place, []).append(record["validation"]["error"])
    return {place: t_interval(values) for place, values in found.items()}


def summary_of(records: list[Record], folder: str = "") -> str:
    errors = errors_of(records)
    digits = [record for record in records if record["table"] == "digits"]
    parts = []
    if errors:
        rows = [[maker, *(shown(errors.get((maker, f))) for f in FUNCTIONS)] for maker in MAKERS]
        parts += ["### Functions, error in percent of their deviation"]
        parts += [markdown(["network of", *FUNCTIONS], rows)]
        parts += [f"![Error of every network on every function]({folder}functions.png)"]
    if digits:
        figures = [
            interval_text(t_interval([record[part]["accuracy"] for record in digits]))
            for part in ("validation", "test")
        ]
        first = digits[0]
        seeds, steps = str(len(digits)), str(first["steps"])
        row = ["this", f"{first['parameters']:,}", "3,500", steps, seeds, *figures]
        published = ["published", "98 thousand", "60,000", "188 thousand", "", "", str(PUBLISHED)]
        header = ["CKCNN", "parameters", "training digits", "steps", "seeds", "validation", "test"]
        parts += ["### Digits as sequences, accuracy in percent"]
        parts += [markdown(header, [row, published])]
    return "\n\n".join(parts) or "Nothing is trained."


def shown(interval: Interval | None) -> str:
    return "" if interval is None else interval_text(interval)


def draw(errors: dict[tuple[str, str], Interval], path: Path) -> None:
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(MAKERS)
    for index, maker in enumerate(MAKERS):
        for place, function in enumerate(FUNCTIONS):
            if (maker, function) in errors:
                shift = (index - (len(MAKERS) - 1) / 2) * width
                height = errors[maker, function].mean
                label = maker if place == 0 else None
                axes.bar(place + shift, height, width, color=f"C{index}", label=label)
    axes.set_yscale("log")
    axes.set_xticks(range(len(FUNCTIONS)), FUNCTIONS)
    axes.set_ylabel("error, % of deviation", fontsize=8)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=DPI)
