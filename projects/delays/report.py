"""Pages and pictures of what the records say, and nothing else."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from mmdcls.study.page import write_page
from mmdcls.study.records import Record, read_records
from mmdcls.study.statistics import holm, paired_difference, t_interval
from mmdcls.study.text import difference_text, interval_text, markdown

from .pictures import draw_delays
from .tables import TABLES, Table

RESULTS = Path(__file__).resolve().parent / "results"
FIGURES = dict(unrounded="not rounded", rate="spikes a neuron and step", at_ends="at the ends, %")


def write_report(folder: Path) -> list[Path]:
    """Of the project's own results into its README, of others into one beside them."""
    records = list(read_records(folder).values())
    path = write_page(partial(summary_of, records), folder, RESULTS)
    shown = pictured(records)
    if shown is None:
        return [path]
    picture = folder / "delays.png"
    draw_delays(shown, picture)
    return [path, picture]


def pictured(records: Iterable[Record]) -> Record | None:
    """The one that the picture shows: learned delays of task 1, of the first seed."""
    for record in records:
        if (record["table"], record["arm"]) == ("polychrony", "learned"):
            return record
    return None


def summary_of(records: list[Record], folder: str = "") -> str:
    parts = []
    for table in TABLES.values():
        of_table = [record for record in records if record["table"] == table.name]
        if of_table:
            parts.append(f"### {table.title}")
            parts.append(kind_of(table)(table, of_table))
            if table.name == "polychrony" and pictured(of_table):
                parts.append(f"![Rasters, learned delays, true delays]({folder}delays.png)")
    return "\n\n".join(parts) or "Nothing is trained."


def kind_of(table: Table) -> Callable[[Table, list[Record]], str]:
    if table.truth is not None:
        return truth_table
    return tau_table if table.by_tau else table_of


def by_seed(records: Iterable[Record], arm: str, figure: str = "accuracy") -> dict[int, float]:
    return {
        record["seed"]: record["test"][figure]
        for record in records
        if record["arm"] == arm and figure in record["test"]
    }


def table_of(table: Table, records: list[Record]) -> str:
    """Accuracy on the test part, its paired difference to the first arm's, and what else is
    recorded, over seeds; p of Student's paired test after Holm."""
    arms = [arm for arm in table.arms if by_seed(records, arm)]
    first = next(iter(table.arms))
    differences = {
        arm: paired_difference(by_seed(records, first), by_seed(records, arm))
        for arm in arms
        if arm != first
    }
    adjusted = dict(
        zip(differences, holm([one and one.p for one in differences.values()]), strict=True)
    )
    extra = [name for name in ("direction",) if any(name in one["test"] for one in records)]
    after = [
        name for name in (*FIGURES, "recovered") if any(name in one["after"] for one in records)
    ]
    names = {**FIGURES, "recovered": "true delays found, %"}
    header = ["network", "parameters", "seeds", "accuracy, %", "learned ahead by", "p"]
    header += [f"{name}, %" for name in extra] + [names[name] for name in after]
    rows = []
    for arm in arms:
        of_arm = [record for record in records if record["arm"] == arm]
        accuracy = by_seed(records, arm)
        p = adjusted.get(arm)
        row = [table.arms[arm].says, f"{of_arm[0]['after']['learnable']:,.0f}", str(len(of_arm))]
        row += [interval_text(t_interval(list(accuracy.values())))]
        row += [difference_text(differences.get(arm)), "" if p is None else f"{p:.1g}"]
        row += [
            interval_text(t_interval(list(by_seed(records, arm, name).values()))) for name in extra
        ]
        row += [mean_text(of_arm, name) for name in after]
        rows.append(row)
    return markdown(header, rows)


def mean_text(records: list[Record], name: str) -> str:
    values = [record["after"][name] for record in records if name in record["after"]]
    if not values:
        return ""
    if name == "rate":
        return interval_text(t_interval(values), 2)
    return interval_text(t_interval([(100 if name == "at_ends" else 1) * one for one in values]))


def tau_table(table: Table, records: list[Record]) -> str:
    """Accuracy on the validation part, in the mean over seeds; the best of a network is bold."""
    figures: dict[str, dict[str, list[float]]] = {}
    for record in records:
        network, _, tau = record["arm"].rpartition("_")
        found = figures.setdefault(network, {}).setdefault(tau, [])
        found.append(record["validation"]["accuracy"])
    taus = sorted({tau for by_tau in figures.values() for tau in by_tau}, key=float)
    rows = []
    for network, by_tau in figures.items():
        means = {tau: t_interval(values).mean for tau, values in by_tau.items()}
        best = max(means, key=means.get)
        cells = [f"{means[tau]:.1f}" if tau in means else "" for tau in taus]
        cells = [
            f"**{cell}**" if tau == best else cell for tau, cell in zip(taus, cells, strict=True)
        ]
        rows.append([network, *cells])
    return markdown(["network, tau", *taus], rows)


def truth_table(table: Table, records: list[Record]) -> str:
    """Of every network what delays it started from and came to, by seed, and its test figures."""
    header = ["network", "delays at the end (start), by seed", *records[0]["test"]]
    rows = []
    for arm, of_arm in ((arm, [one for one in records if one["arm"] == arm]) for arm in table.arms):
        if not of_arm:
            continue
        delays = [
            f"{listed(one['after']['delays'])} ({listed(one['before']['delays'])})"
            for one in of_arm
        ]
        digits = 1 if "accuracy" in header else 3
        figures = [
            interval_text(t_interval([one["test"][name] for one in of_arm]), digits)
            for name in header[2:]
        ]
        rows.append([table.arms[arm].says, ", ".join(delays), *figures])
    return markdown(header, rows)


def listed(delays: list[float]) -> str:
    return "/".join(f"{delay:.1f}" for delay in delays)
