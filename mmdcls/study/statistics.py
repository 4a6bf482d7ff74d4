"""Means and differences over few seeds, with Student's t; several comparisons after Holm (1979)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit

LEVEL = 0.95
# Of a claim.
VERDICTS = HOLDS, DOES_NOT, OPEN, LONE = ("holds", "does not hold", "cannot be said", "one seed")


@dataclass(frozen=True)
class Interval:
    """half: half the width of the interval; None for one value alone, which has no spread."""

    mean: float
    half: float | None
    count: int

    @property
    def low(self) -> float:
        return -math.inf if self.half is None else self.mean - self.half

    @property
    def high(self) -> float:
        return math.inf if self.half is None else self.mean + self.half


@dataclass(frozen=True)
class Difference:
    """p: of Student's paired test that the mean is zero, two-sided; None for one pair alone."""

    interval: Interval
    p: float | None


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Of the mean. Raises ValueError for no values."""
    if not values:
        raise ValueError("no values have no mean")
    count = len(values)
    half = None
    if count > 1:
        quantile = float(stdtrit(count - 1, (1 + level) / 2))
        half = quantile * stdev(values) / math.sqrt(count)
    return Interval(fmean(values), half, count)


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float], level: float = LEVEL
) -> Difference | None:
    """Of values minus reference, over the seeds that both have; None where they share none."""
    pairs = [values[seed] - reference[seed] for seed in sorted(values.keys() & reference.keys())]
    if not pairs:
        return None
    return Difference(t_interval(pairs, level), p_value(pairs))


def p_value(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean, error = fmean(values), stdev(values) / math.sqrt(len(values))
    if error == 0:
        return float(mean == 0)
    return float(2 * stdtr(len(values) - 1, -abs(mean / error)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted, in the order given: below a level, they are wrong together that rarely.

    None stays None, and counts as no comparison.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, index) in enumerate(order):
        least = max(least, min(1.0, p * (len(order) - rank)))
        adjusted[index] = least
    return adjusted


def verdict(interval: Interval) -> str:
    """Of the claim that the mean is above zero."""
    if interval.half is None:
        return LONE
    return HOLDS if interval.low > 0 else DOES_NOT if interval.high < 0 else OPEN


def smallest_as_good(figures: Mapping[float, Mapping[int, float]]) -> float:
    """The smallest size that is not shown to be worse than the best in the mean: the interval of
    its paired difference to the best holds zero.

    figures: of every size, by seed.
    """
    best = max(figures, key=lambda size: fmean(figures[size].values()))
    for size in sorted(figures):
        difference = paired_difference(figures[size], figures[best])
        if size == best or (difference and difference.interval.high >= 0):
            return size
    return best
