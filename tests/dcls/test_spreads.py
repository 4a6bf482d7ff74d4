"""Elements start where the spread that was asked for puts them, inside their kernel."""

import copy

import pytest
import torch

from mmdcls.dcls import INITIAL_SPREADS, Dcls2d, ElementPositions, position_limits
from mmdcls.dcls.spreads import spread_positions_

each_spread = pytest.mark.parametrize("spread", INITIAL_SPREADS)
SIZES = [(1,), (4,), (17,), (17, 17), (16, 5), (1, 9), (5, 4, 3)]


def drawn(spread, size, slices=(64, 2), count=12):
    positions = torch.full((len(size), *slices, count), torch.nan)
    return spread_positions_(positions, size, spread)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("count", [1, 5, 34])
@each_spread
def test_every_element_stands_inside(spread, size, count):
    for row, cells in zip(drawn(spread, size, count=count), size, strict=True):
        low, high = position_limits(cells)
        assert low <= row.min() and row.max() <= high
        if cells > 1:
            assert row.unique().numel() > count


@each_spread
def test_slices_differ_and_a_seed_decides(spread):
    torch.manual_seed(3)
    first = drawn(spread, (17, 17))
    assert not torch.equal(first[:, 0], first[:, 1])
    torch.manual_seed(3)
    assert torch.equal(drawn(spread, (17, 17)), first)


# Mean distance from the centre along one axis of 17 cells, in cells: of N(0, 0.5) it is
# 0.5 * sqrt(2 / pi), of N(0, 2) four times that; a point anywhere between -8 and 8 is 4 away.
@pytest.mark.parametrize(
    "spread, distance",
    [("normal", 0.399), ("wide_normal", 1.596), ("uniform", 4.0), ("jittered_grid", 4.0)],
)
def test_how_far_elements_stand_from_the_centre(spread, distance):
    found = drawn(spread, (17, 17), slices=(512, 1), count=36).abs().mean()
    assert found.item() == pytest.approx(distance, rel=0.03)


def test_each_spread_has_its_distance_tested():
    marks = test_how_far_elements_stand_from_the_centre.pytestmark
    assert {case[0] for case in marks[0].args[1]} == set(INITIAL_SPREADS)


@pytest.mark.parametrize(
    "size, fields",
    [((17, 17), (4, 3)), ((16, 5), (6, 2)), ((9,), (12,)), ((1, 9), (1, 12)), ((9, 1), (12, 1))],
)
def test_a_jittered_grid_has_one_element_in_each_of_as_many_fields(size, fields):
    positions = drawn("jittered_grid", size, count=12)
    numbers = 0
    for row, cells, field in zip(positions, size, fields, strict=True):
        low, high = position_limits(cells)
        index = ((row - low) / max(high - low, 1) * field).floor().clamp(max=field - 1)
        numbers = numbers * field + index
    assert torch.equal(numbers.sort(-1).values, torch.arange(12.0).expand_as(numbers))


def test_a_jittered_grid_crowds_less_than_chance():
    def nearest(spread):
        positions = drawn(spread, (17, 17), count=34).flatten(1, 2).permute(1, 2, 0)
        distances = torch.cdist(positions, positions) + 99 * torch.eye(34)
        return (distances.amin(-1) < 0.5).double().mean()

    assert nearest("jittered_grid") < 0.7 * nearest("uniform")


@each_spread
def test_whatever_owns_positions_draws_them_by_its_spread(spread):
    MODELS = pytest.importorskip("mmengine.registry").MODELS
    arch = dict(depths=(1, 1, 1, 1), channels=(64, 8, 8, 8))
    backbone = dict(type="mmdcls.DclsConvNeXt", arch=arch, initial_spread=spread)
    conv = dict(
        type="mmdcls.Dcls2d",
        in_channels=64,
        out_channels=64,
        kernel_size=17,
        groups=64,
        kernel_count=34,
        initial_spread=spread,
    )
    owners = [
        ElementPositions((17, 17), "gaussian", (64, 1, 34), initial_spread=spread),
        Dcls2d(64, 64, 17, groups=64, kernel_count=34, initial_spread=spread),
        MODELS.build(conv),
        MODELS.build(backbone).stages[0],
        MODELS.build(dict(backbone, share_positions=False)).stages[0][0].dwconv,
    ]
    expected = drawn(spread, (17, 17), slices=(64, 1), count=34).abs().mean()
    for owner in [*owners, copy.deepcopy(owners[1])]:
        with torch.no_grad():
            owner.positions.zero_()
        owner.reset_positions()
        assert owner.positions.abs().mean().item() == pytest.approx(expected.item(), rel=0.1)


def test_an_unknown_spread_is_refused_with_the_table():
    for build in (
        lambda: Dcls2d(4, 4, 5, kernel_count=3, initial_spread="wide"),
        lambda: Dcls2d(4, 4, 5, kernel_count=3, initial_spread="wide", share_positions=True),
        lambda: spread_positions_(torch.empty(2, 1, 1, 3), (5, 5), "wide"),
    ):
        with pytest.raises(
            ValueError, match=r"initial_spread='wide' is unknown.*normal, wide_normal, uniform"
        ):
            build()
