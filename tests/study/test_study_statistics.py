import math

import numpy as np
import pytest
from scipy import stats

from mmdcls.study.statistics import (
    Interval,
    holm,
    p_value,
    paired_difference,
    smallest_as_good,
    t_interval,
    verdict,
)

SAMPLES = [np.random.RandomState(count).randn(count) * count + 1 for count in (2, 3, 5, 17)]


@pytest.mark.parametrize("values", SAMPLES, ids=len)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_an_interval_is_student_s(values, level):
    interval = t_interval(list(values), level)
    expected = stats.t.interval(level, len(values) - 1, values.mean(), stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert interval.count == len(values)


@pytest.mark.parametrize("values", SAMPLES, ids=len)
def test_a_difference_is_student_s_paired_test_over_the_seeds_of_both(values):
    other = values[::-1] * 0.5
    ours = dict(enumerate(values)) | {100: 3.0}
    theirs = dict(enumerate(other)) | {200: 4.0}
    difference = paired_difference(ours, theirs)
    expected = stats.ttest_rel(values, other)
    assert difference.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (difference.interval.low, difference.interval.high) == pytest.approx((low, high))


def test_one_seed_has_no_interval_and_none_no_difference():
    difference = paired_difference({0: 2.0, 1: 5.0}, {0: 1.0, 2: 3.0})
    assert difference.interval == Interval(1.0, None, 1)
    assert difference.p is None
    assert verdict(difference.interval) == "one seed"
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
    with pytest.raises(ValueError, match="no mean"):
        t_interval([])


@pytest.mark.parametrize(("values", "p"), [([0.0, 0.0], 1.0), ([0.5, 0.5], 0.0)])
def test_pairs_that_all_differ_by_the_same_leave_no_doubt(values, p):
    assert p_value(values) == p


def test_holm_by_hand():
    # In order .01 x 4, .02 x 3, .03 x 2 (as large as the one before), .9 x 1.
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.4, None, 0.3]) == pytest.approx([0.6, None, 0.6], nan_ok=True)
    assert holm([0.8, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("mean", "half", "said"),
    [(1.0, 0.9, "holds"), (-1.0, 0.9, "does not hold"), (1.0, 1.1, "cannot be said")],
)
def test_a_verdict_follows_from_the_interval_alone(mean, half, said):
    assert verdict(Interval(mean, half, 5)) == said
    assert verdict(Interval(mean, None, 1)) == "one seed"
    assert math.isinf(Interval(mean, None, 1).low)


def test_the_smallest_size_that_is_as_good_is_the_first_not_shown_to_be_worse():
    best = {0: 70.0, 1: 74.0, 2: 72.0}
    as_good = {0: 69.0, 1: 75.0, 2: 71.0}
    worse = {0: 60.0, 1: 64.1, 2: 61.9}
    assert smallest_as_good({7: worse, 11: as_good, 17: best, 31: as_good}) == 11
    assert smallest_as_good({7: worse, 17: best}) == 17
    # One seed shows nothing.
    assert smallest_as_good({7: {0: 1.0}, 17: {0: 2.0}}) == 7
