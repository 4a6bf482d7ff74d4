"""Figures of every stage or layer of any network, and a sentence where learning positions fails."""

import pytest
import torch
from torch import nn

from helpers.small_networks import NETWORKS, layer
from mmdcls.dcls import (
    INITIAL_SPREADS,
    Dcls2d,
    figures_table,
    position_figures,
    position_limits,
    position_owners,
    position_warnings,
    set_width_,
    start_positions,
)
from mmdcls.dcls.failure_signatures import LIMITS
from mmdcls.dcls.statistics import element_figures, summary

each_network = pytest.mark.parametrize("network", NETWORKS)


def moved(net: nn.Module, distance: float = 1.0) -> dict:
    """The start of a network whose elements then all move this far along the first axis."""
    start = start_positions(net)
    with torch.no_grad():
        for owner in position_owners(net).values():
            owner.positions[0] += distance
    return start


@each_network
def test_figures_of_every_owner_are_those_of_its_elements(network):
    net = NETWORKS[network]()
    start = moved(net)
    figures = position_figures(net, start)
    owners = position_owners(net)
    assert set(figures) == set(start) == set(owners)
    for name, owner in owners.items():
        expected = element_figures(
            owner.positions,
            owner.sigma,
            start[name].to(owner.positions.device),
            owner.kernel_size,
            owner.interpolation,
        )
        of_elements = summary([expected])
        assert figures[name].items() >= of_elements.items()
        assert set(figures[name]) - set(of_elements) == {"outside_7x7", "reach_90"}
        assert figures[name]["movement"] == pytest.approx(1)


def test_the_start_is_known_before_a_model_is_wrapped_and_after():
    net = NETWORKS["deep"]()
    start = moved(net)
    wrapped = torch.compile(nn.DataParallel(net), backend="eager")
    assert position_figures(wrapped, start) == position_figures(net, start)
    assert start_positions(wrapped).keys() == start.keys()


def test_the_start_does_not_move_with_the_model():
    net = layer()
    first = net.positions.detach().clone()
    assert torch.equal(moved(net)[""], first.cpu())


@pytest.mark.parametrize("start", [{}, {"": torch.zeros(2, 4, 1, 9)}], ids=["none", "other"])
def test_the_start_of_another_model_is_refused(start):
    with pytest.raises(ValueError, match=r"no positions of the model in shape \(2, 4, 1, 3\)"):
        position_figures(layer(), start)


def test_kernels_of_a_single_cell_have_no_figures():
    net = nn.Sequential(layer(kernel_size=1), layer())
    assert set(start_positions(net)) == set(position_figures(net, start_positions(net))) == {"1"}


def test_the_table_has_a_row_for_every_owner():
    net = NETWORKS["several"]()
    figures = position_figures(net, moved(net))
    head, *rows = figures_table(figures).splitlines()
    assert [row.split()[0] for row in rows] == list(figures)
    column = head.split().index("movement") + 1
    assert {row.split()[column] for row in rows} == {"1.000"}


def put(net: Dcls2d, place: float, apart: float = 0.6) -> None:
    """All elements on the diagonal at this place, and from there side by side in a row."""
    with torch.no_grad():
        net.positions.fill_(place)
        net.positions[1] += apart * torch.arange(net.kernel_count)


def put_in_centre(net: Dcls2d) -> None:
    corners = torch.tensor([[-0.4, 0.4, -0.4], [-0.4, 0.4, 0.4]])
    with torch.no_grad():
        net.positions.copy_(corners[:, None, None].expand_as(net.positions))


FAILURES = {
    "most_at_border": lambda net: put(net, position_limits(net.kernel_size[0])[0]),
    "most_at_centre": put_in_centre,
    "most_near_another": lambda net: put(net, 5.0, apart=0.1),
    "most_at_floor": lambda net: set_width_(net, 0.28),
    "least_movement": lambda net: None,
}


def wide() -> Dcls2d:
    """A layer whose elements are neither in the centre nor at the border, and have some width."""
    net = layer(kernel_size=17)
    put(net, 3.0)
    set_width_(net, 1.0)
    return net


def warnings_after(net: Dcls2d, failure: str | None, **options) -> dict[str, str]:
    start = start_positions(net)
    put(net, 5.0)
    if failure == "least_movement":
        put(net, 3.0)
    elif failure:
        FAILURES[failure](net)
    return position_warnings(net, position_figures(net, start), **options)


def test_every_limit_has_a_failure():
    assert set(FAILURES) == set(LIMITS)
    assert warnings_after(wide(), None) == {}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_said_with_what_to_change(failure):
    (sentence,) = warnings_after(wide(), failure).values()
    assert "the model (" in sentence
    # What it advises is there, under this name.
    assert "parameter_groups" in sentence and "paramwise_cfg" not in sentence
    assert warnings_after(wide(), failure, limits={failure: None}) == {}
    early = warnings_after(wide(), failure, is_early=True)
    assert set(early) == ({failure} if failure == "most_at_border" else set())


@pytest.mark.parametrize("spread", INITIAL_SPREADS)
def test_positions_that_stay_where_they_cover_the_kernel_are_not_warned_of(spread):
    torch.manual_seed(0)
    net = Dcls2d(32, 32, 17, groups=32, kernel_count=34, initial_spread=spread)
    start = start_positions(net)
    # Not at all: they are not among what the optimiser has, wherever they stand.
    assert "least_movement" in position_warnings(net, position_figures(net, start))
    moved_a_little(net)
    found = position_warnings(net, position_figures(net, start))
    assert ("least_movement" in found) == ("most_near_another" in found) == (spread == "normal")
    net.positions.requires_grad_(False)
    assert "least_movement" not in position_warnings(net, position_figures(net, start))


@torch.no_grad()
def moved_a_little(net):
    net.positions.add_(1e-3 * torch.randn_like(net.positions))


def test_a_kernel_with_many_elements_for_its_cells_is_not_said_to_be_crowded():
    torch.manual_seed(0)
    crowded = Dcls2d(8, 8, 3, groups=8, kernel_count=60, initial_spread="uniform")
    start = start_positions(crowded)
    moved_a_little(crowded)
    figures = position_figures(crowded, start)
    assert figures[""]["near_another"] > LIMITS["most_near_another"]
    assert position_warnings(crowded, figures) == {}


@pytest.mark.parametrize(
    ("place", "outside", "reach"), [(0, 0.0, 0), (3, 0.0, 3), (4, 1.0, 4), (8, 1.0, 8)]
)
def test_the_reach_of_kernels_is_where_their_weight_lies(place, outside, reach):
    net = layer("bilinear", kernel_size=17)
    put(net, 0, apart=0)
    with torch.no_grad():
        net.positions[0] = place
        net.weight.fill_(2.0)
    figures = position_figures(net, start_positions(net))[""]
    assert figures["outside_7x7"] == pytest.approx(outside, abs=1e-6)
    assert figures["reach_90"] == reach
    with torch.no_grad():
        # A twentieth of the weight elsewhere tells in the one figure and not in the other.
        net.positions[..., 0], net.weight[..., 0] = 0, 4 / 19  # of 4 + 4 / 19
    figures = position_figures(net, start_positions(net))[""]
    assert figures["outside_7x7"] == pytest.approx(0.95 * outside, abs=1e-6)
    assert figures["reach_90"] == reach


def test_positions_held_still_on_purpose_are_not_warned_of():
    assert warnings_after(wide().requires_grad_(False), "least_movement") == {}


def test_an_unknown_limit_is_refused():
    with pytest.raises(ValueError, match=r"\['most_lost'\]; it takes most_at_border"):
        warnings_after(wide(), None, limits=dict(most_lost=1))
