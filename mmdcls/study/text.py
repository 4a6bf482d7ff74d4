"""Figures of studies as text."""

from collections.abc import Sequence

from .statistics import Difference, Interval


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


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
