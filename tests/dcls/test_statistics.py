"""Every figure equals what a loop over the elements finds, on one to three axes."""

import math
from itertools import product

import pytest
import torch

from helpers.cases import SIZES, draw_elements
from mmdcls.dcls import INTERPOLATIONS, position_limits, statistics
from mmdcls.dcls.statistics import element_figures, summary

each_size = pytest.mark.parametrize("size", SIZES, ids=str)
WITH_SIGMA = [name for name, rule in INTERPOLATIONS.items() if rule.has_sigma]


def by_loop(positions, sigma, start, size, interpolation) -> dict[str, list[float]]:
    found = {name: [] for name in ("at_border", "at_centre", "near_another", "movement")}
    found |= {"neighbour_distance": [], "width": [], "at_floor": []}
    positions, start = positions.tolist(), start.tolist()
    _, outs, ins, count = torch.tensor(positions).shape
    axes = range(len(size))
    for o, i, k in product(range(outs), range(ins), range(count)):
        place = [positions[a][o][i][k] for a in axes]
        limits = [position_limits(cells) for cells in size]
        roomy = [(x, *ends) for x, ends in zip(place, limits, strict=True) if ends != (0, 0)]
        found["at_border"].append(any(min(x - low, high - x) <= 0.1 for x, low, high in roomy))
        found["at_centre"].append(max(map(abs, place)) <= 0.5)
        others = [[positions[a][o][i][j] for a in axes] for j in range(count) if j != k]
        nearest = min((math.dist(place, other) for other in others), default=math.inf)
        found["neighbour_distance"].append(nearest)
        found["near_another"].append(nearest < 0.5)
        found["movement"].append(math.dist(place, [start[a][o][i][k] for a in axes]))
    if sigma is not None:
        floor = INTERPOLATIONS[interpolation].width_floor
        found["width"] = [abs(value) + floor for value in sigma.flatten().tolist()]
        found["at_floor"] = [abs(value) <= 0.1 for value in sigma.flatten().tolist()]
    return found


@each_size
@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("interpolation", ["bilinear", *WITH_SIGMA])
@pytest.mark.parametrize("place", ["off the grid", "on the grid", "outside"])
def test_figures_equal_those_of_a_loop(size, count, interpolation, place, monkeypatch):
    # So few that the kernels are split between several rounds.
    monkeypatch.setattr(statistics, "MOST_DISTANCES", 80)
    _, positions, sigma = draw_elements(size, interpolation, place, shape=(4, 3, count))
    start = positions + torch.randn_like(positions)
    expected = by_loop(positions, sigma, start, size, interpolation)
    figures = element_figures(positions, sigma, start, size, interpolation)
    for name, values in figures.items():
        assert values.dtype == (
            torch.bool if isinstance(expected[name][0], bool) else torch.float64
        )
        torch.testing.assert_close(
            values.flatten(), torch.tensor(expected[name], dtype=values.dtype), msg=name
        )
    means = {name: torch.tensor(values).double() for name, values in expected.items() if values}
    found = summary([figures])
    if sigma is not None:
        assert found.pop("smallest_width") == pytest.approx(means["width"].min().item())
    if count == 1:
        assert means.pop("neighbour_distance").isinf().all()
    # float32 in the loop's mean.
    assert found == pytest.approx({k: v.mean().item() for k, v in means.items()}, rel=1e-6)


def test_elements_of_all_parts_count_alike_and_widths_are_those_of_parts_that_have_them():
    wide = draw_elements((5,), "gaussian", shape=(2, 1, 4))
    narrow = draw_elements((3, 4), "bilinear", shape=(5, 1, 1))
    parts = [
        element_figures(wide.positions, wide.sigma, wide.positions + 3, (5,), "gaussian"),
        element_figures(narrow.positions, None, narrow.positions, (3, 4), "bilinear"),
    ]
    both = summary(parts)
    assert both["movement"] == pytest.approx(3 * 8 / 13)
    assert both["width"] == pytest.approx(summary(parts[:1])["width"])
    # An element alone in its kernel is not counted as infinitely far from another.
    distance = summary(parts[:1])["neighbour_distance"]
    assert both["neighbour_distance"] == pytest.approx(distance)
    assert "neighbour_distance" not in summary(parts[1:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_elements_that_nearly_coincide_are_told_apart(dtype):
    positions = torch.tensor([[[[100.0, 100.5, -3.0]]], [[[100.0, 100.0, 4.0]]]], dtype=dtype)
    distance = statistics.neighbour_distance(positions)
    assert distance.flatten()[:2].tolist() == [0.5, 0.5]
    assert distance.dtype == torch.promote_types(dtype, torch.float32)


@each_size
def test_the_share_of_border_cells_is_that_of_the_cells(size):
    cells = list(product(*map(range, size)))
    border = [
        any(c in (0, s - 1) for c, s in zip(cell, size, strict=True) if s > 1) for cell in cells
    ]
    assert statistics.border_share(size) == pytest.approx(sum(border) / len(border))
