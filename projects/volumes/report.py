"""Tables of what the records say, and nothing else."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from mmdcls.study.page import write_page
from mmdcls.study.records import Record, read_records
from mmdcls.study.statistics import paired_difference, t_interval
from mmdcls.study.text import difference_text, interval_text, markdown

RESULTS = Path(__file__).resolve().parent / "results"
# Of each data set its figure of merit, and what tables call it.
MERIT = dict(
    cells=("IoU_nucleus", "nucleus IoU"),
    bleached=("IoU_nucleus", "nucleus IoU"),
    unstained=("IoU_nucleus", "nucleus IoU"),
    brain=("mIoU", "mIoU"),
    nuclei=("IoU_nucleus", "nucleus IoU"),
)
REFERENCES = ("frames_7", "dense_3")


def write_report(folder: Path) -> list[Path]:
    """Of the project's own results into its README, of others into one beside them."""
    records = list(read_records(folder).values())
    return [write_page(partial(summary_of, records), folder, RESULTS)]


def summary_of(records: list[Record], folder: str = "") -> str:
    parts = []
    for table in MERIT:
        own = [record for record in records if record["table"] == table]
        if own:
            parts += [f"### {table.capitalize()}", compared(table, own)]
    tried = [record for record in records if record["table"] == "choose"]
    if tried:
        parts += ["### What was chosen, on the validation part of the cells", choice(tried)]
    return "\n\n".join(parts) or "Nothing is trained."


def by_arm(records: Iterable[Record]) -> dict[str, dict[int, Record]]:
    """By arm and seed, the arms in the order of their multiply-adds."""
    found: dict[str, dict[int, Record]] = {}
    for record in sorted(records, key=lambda record: (record["multiply_adds"], record["arm"])):
        found.setdefault(record["arm"], {})[record["seed"]] = record
    return found


def compared(table: str, records: list[Record]) -> str:
    metric, called = MERIT[table]
    arms = by_arm(records)

    def figures(arm: str, part: str, name: str) -> dict[int, float]:
        return {seed: record[part][name] for seed, record in arms.get(arm, {}).items()}

    def against(arm: str, reference: str, name: str) -> str:
        if arm == reference:
            return ""
        pair = (figures(one, "test", name) for one in (arm, reference))
        return difference_text(paired_difference(*pair))

    rows = []
    for arm, by_seed in arms.items():
        first = by_seed[min(by_seed)]
        step = t_interval([record["seconds_per_step"] for record in by_seed.values()])
        test = figures(arm, "test", metric)
        rows.append(
            [
                arm,
                f"{first['parameters']:,}",
                f"{first['multiply_adds'] / 1e6:.0f}",
                f"{step.mean:.2f}",
                str(len(by_seed)),
                interval_text(t_interval([*figures(arm, "validation", metric).values()])),
                interval_text(t_interval([*test.values()])),
                *(against(arm, reference, metric) for reference in REFERENCES),
            ]
        )
        if metric != "mIoU":
            mean = figures(arm, "test", "mIoU")
            rows[-1] += [interval_text(t_interval([*mean.values()]))]
            rows[-1] += [against(arm, REFERENCES[0], "mIoU")]
    header = ["kernel", "parameters", "million multiply-adds", "s a step", "seeds"]
    header += [f"{called}, validation", f"{called}, test", *(f"to {arm}" for arm in REFERENCES)]
    if metric != "mIoU":
        header += ["mIoU, test", f"mIoU to {REFERENCES[0]}"]
    return markdown(header, rows)


def choice(records: list[Record]) -> str:
    metric, called = MERIT["cells"]
    rows = [
        [record["arm"], interval_text(t_interval([record["validation"][metric]]))]
        for record in sorted(records, key=lambda record: record["arm"])
    ]
    return markdown(["kernel, rate, spread", f"{called}, validation"], rows)
