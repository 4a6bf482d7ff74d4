"""Figures of studies as text."""

from collections.abc import Iterable, Mapping, Sequence

from .statistics import Difference, Interval

# What `measures.kernel_figures` tells, as tables call it.
KERNEL_FIGURES = dict(
    mean_distance="mean distance", near_another="near another", outside_7x7="outside 7x7"
)


def interval_text(interval: Interval, digits: int = 1) -> str:
    half = "" if interval.half is None else f" ± {interval.half:.{digits}f}"
    return f"{interval.mean:.{digits}f}{half}"


def difference_text(difference: Difference | None, digits: int = 1) -> str:
    """Empty where there is none."""
    if difference is None:
        return ""
    interval, form = difference.interval, f"+.{digits}f"
    bounds = "" if interval.half is None else f" [{interval.low:{form}}, {interval.high:{form}}]"
    return f"{interval.mean:{form}}{bounds}"


def changes_text(
    before: Mapping[str, float],
    after: Mapping[str, float],
    figures: Iterable[str] = KERNEL_FIGURES,
) -> list[str]:
    """What training has done, for each of the figures; empty where a network has none."""
    return [
        f"{before[name]:.2f} to {after[name]:.2f}" if before.keys() & after.keys() >= {name} else ""
        for name in figures
    ]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
