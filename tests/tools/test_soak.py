"""What counts as growth in a long training."""

import pytest

from helpers.provocations import load_tool

soak = load_tool("analysis_tools/soak_growth")
FLIPPING = (0.0, 9.0, 24.0, 15.0, 30.0)  # MB that come and go, in turns


def samples(leak: float) -> list[dict[str, float]]:
    """Of 2,000 iterations, with a leak in KB an iteration."""
    return [
        dict(iteration=i, heap=235 + FLIPPING[i // 70 % len(FLIPPING)] + leak * i / 1e3)
        for i in range(soak.EVERY, 2001, soak.EVERY)
    ]


def test_what_comes_and_goes_is_no_growth():
    assert soak.rise(samples(leak=0), "heap") == 0


@pytest.mark.parametrize("leak", [10, 20, 100])
def test_a_leak_is_growth_beside_what_comes_and_goes(leak):
    assert soak.rise(samples(leak), "heap") > soak.MOST_RISE
