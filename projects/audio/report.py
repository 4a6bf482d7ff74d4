"""Tables and a picture of what the records say, and nothing else."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from statistics import fmean, median

from matplotlib.figure import Figure

from mmdcls.errors import InputError
from mmdcls.study.page import write_page
from mmdcls.study.records import Record, means, read_records
from mmdcls.study.statistics import OPEN, paired_difference, t_interval, verdict
from mmdcls.study.text import (
    KERNEL_FIGURES,
    changes_text,
    difference_text,
    interval_text,
    markdown,
)
from projects.audio.tables import AIMS, ARMS, CLAIMS, NETWORKS, REFERENCE, TITLES, Claim

TABLE = "prompts"
RESULTS = Path(__file__).resolve().parent / "results"
JUDGES = "accuracy"
DPI = 110
# By network, arm and seed.
Figures = dict[str, dict[str, dict[int, float]]]


def write_report(folder: Path) -> list[Path]:
    """Of the project's own results into its README, of others into one beside them."""
    records = list(read_records(folder).values())
    path = write_page(partial(summary_of, records), folder, RESULTS)
    if not records:
        return [path]
    picture = folder / f"{TABLE}.png"
    draw(figures_of(records), picture)
    return [path, picture]


def figures_of(records: Iterable[Record], metric: str = JUDGES) -> Figures:
    """On the test part, in the order of tables.py. Raises InputError for records that it does not
    know, and for a figure that is not finite."""
    figures: Figures = {network: {arm: {} for arm in ARMS} for network in NETWORKS}
    for record in records:
        network, arm, seed = record["data"], record["arm"], record["seed"]
        if network not in NETWORKS or arm not in ARMS:
            raise InputError(f"tables.py has no arm {arm} of {network}; delete its records.")
        if record["test"].get(metric) is None:
            raise InputError(
                f"The record of {network}, {arm}, seed {seed} has no finite {metric} of the test "
                f"part; delete it, and run projects.audio.study again."
            )
        figures[network][arm][seed] = record["test"][metric]
    return figures


def summary_of(records: list[Record], folder: str = "") -> str:
    if not records:
        return "Nothing is trained."
    devices = ", ".join(sorted({record["device"] for record in records}))
    parts = [
        f"{len(records)} trainings of {records[0]['steps']} steps, on {devices}. Figures are "
        f"percent on the test part, means over seeds with half of their 95 % interval (Student's "
        f"t); differences of accuracy are to {REFERENCE}, paired by seed.",
        f"![Accuracy of every arm]({folder}{TABLE}.png)",
        claim_table(figures_of(records)),
    ]
    for network in NETWORKS:
        mine = [record for record in records if record["data"] == network]
        if mine:
            parts += [f"### {TITLES[network]}", arm_table(mine, network), cost_table(mine)]
    parts += [aims_text(records)]
    return "\n\n".join(parts)


def claim_table(figures: Figures) -> str:
    """On every network, and on the mean over all of them."""
    rows = []
    for claim in CLAIMS:
        by_network = {network: verdict_of(claim, arms) for network, arms in figures.items()}
        shown, words = verdict_of(claim, mean_over(figures, claim))
        rows.append([claim.sentence, words, shown, *(said for said, _ in by_network.values())])
    header = ["claim", "over all networks", "points", *(TITLES[network] for network in figures)]
    return markdown(header, rows)


def verdict_of(claim: Claim, arms: dict[str, dict[int, float]]) -> tuple[str, str]:
    """The difference as text, and whether the claim holds."""
    difference = paired_difference(arms[claim.arm], arms[claim.than])
    words = verdict(difference.interval) if difference else OPEN
    return difference_text(difference), words


def mean_over(figures: Figures, claim: Claim) -> dict[str, dict[int, float]]:
    """Of the claim's two arms, over the networks, with the seeds that all of them have."""
    sides = (claim.arm, claim.than)
    seeds = set.intersection(*(set(arms[side]) for arms in figures.values() for side in sides))
    return {
        side: {seed: fmean(arms[side][seed] for arms in figures.values()) for seed in seeds}
        for side in sides
    }


def arm_table(records: list[Record], network: str) -> str:
    accuracy, precision = (figures_of(records, metric)[network] for metric in AIMS)
    rows = []
    for arm in ARMS:
        if not accuracy[arm]:
            continue
        difference = paired_difference(accuracy[arm], accuracy[REFERENCE])
        rows.append(
            [
                arm,
                str(len(accuracy[arm])),
                interval_text(t_interval(list(accuracy[arm].values()))),
                interval_text(t_interval(list(precision[arm].values()))),
                "" if arm == REFERENCE else difference_text(difference),
            ]
        )
    return markdown(["arm", "seeds", "accuracy", "mAP", "difference"], rows)


def cost_table(records: list[Record]) -> str:
    rows = []
    for arm in ARMS:
        mine = [record for record in records if record["arm"] == arm]
        if mine:
            changes = [means(record[when] for record in mine) for when in ("before", "after")]
            rows.append(
                [
                    arm,
                    f"{mine[0]['parameters']:,}",
                    f"{mine[0]['multiply_adds'] / 1e6:.1f}",
                    f"{1e3 * median(record['seconds_per_step'] for record in mine):.0f}",
                    *changes_text(*changes),
                ]
            )
    header = ["arm", "parameters", "million multiply-adds", "ms a step", *KERNEL_FIGURES.values()]
    return markdown(header, rows)


def aims_text(records: list[Record]) -> str:
    """Whether every arm in the mean, and every training, is above what a network has to reach."""
    said = []
    for metric, least in AIMS.items():
        arms = {
            f"{TITLES[network]}, {arm}": fmean(seeds.values())
            for network, arms in figures_of(records, metric).items()
            for arm, seeds in arms.items()
            if seeds
        }
        worst = min(records, key=lambda record: record["test"][metric])
        place = f"{TITLES[worst['data']]}, {worst['arm']}, seed {worst['seed']}"
        below = sum(record["test"][metric] < least for record in records)
        lowest = min(arms, key=arms.get)
        said.append(
            f"The {metric} to be reached is {least:.0f}: in the mean over seeds the lowest is "
            f"{arms[lowest]:.1f} ({lowest}); below it {'is' if below == 1 else 'are'} {below} of "
            f"{len(records)} trainings, the lowest with {worst['test'][metric]:.1f} ({place})."
        )
    return " ".join(said)


def draw(figures: Figures, path: Path) -> None:
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    rows = figure.subplots(1, len(figures), sharex=True, sharey=True)
    for axes, (network, arms) in zip(rows, figures.items(), strict=True):
        axes.set_title(TITLES[network], fontsize=9)
        for place, seeds in enumerate(arms.values()):
            values = list(seeds.values())
            axes.plot(values, [place] * len(values), "o", ms=3, alpha=0.4, color=f"C{place}")
            if values:
                interval = t_interval(values)
                axes.errorbar(interval.mean, place, xerr=interval.half, fmt="|", color=f"C{place}")
        axes.set_yticks(range(len(arms)), list(arms), fontsize=8)
        axes.set_xlabel("accuracy, %", fontsize=8)
        axes.tick_params(labelsize=8)
    rows[0].invert_yaxis()
    figure.savefig(path, dpi=DPI)
