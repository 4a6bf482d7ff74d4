"""Figures of every stage or layer of any network, and a sentence where learning positions fails."""

import pytest
import torch
from torch import nn

from helpers.small_networks import NETWORKS, layer
from mmdcls.dcls import (
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
            owner.positions, owner.sigma, start[name], owner.kernel_size, owner.interpolation
        )
        assert figures[name] == summary([expected])
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
    assert torch.equal(moved(net)[""], first)


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


def put(net: Dcls2d, place: float) -> None:
    with torch.no_grad():
        net.positions.fill_(place)


FAILURES = {
    "most_at_border": lambda net: put(net, position_limits(net.kernel_size[0])[0]),
    "most_at_centre": lambda net: put(net, 0.1),
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


def test_positions_held_still_on_purpose_are_not_warned_of():
    assert warnings_after(wide().requires_grad_(False), "least_movement") == {}


def test_an_unknown_limit_is_refused():
    with pytest.raises(ValueError, match=r"\['most_lost'\]; it takes most_at_border"):
        warnings_after(wide(), None, limits=dict(most_lost=1))
