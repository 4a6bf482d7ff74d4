"""What a loop does to all positions of a model: clamp, repel, round for a while."""

import pytest
import torch
from torch import nn

from helpers.small_networks import NETWORKS, images
from mmdcls.dcls import (
    clamp_model_,
    position_limits,
    position_owners,
    repulsion,
    repulsion_loss,
    rounded,
)

each_network = pytest.mark.parametrize("network", NETWORKS)


@each_network
def test_owners_have_the_names_of_the_model_without_wrappers(network):
    net = NETWORKS[network]()
    names = {
        "a layer": {""},
        "a stage": {""},
        "deep": {"0.blocks.0", "0.blocks.1", "0.blocks.2"},
    }.get(network.partition(",")[0], {"1", "3", "4", "5"})
    assert set(position_owners(net)) == names


@each_network
def test_clamping_a_model_brings_back_what_left_and_nothing_else(network):
    net = NETWORKS[network]()
    owners = position_owners(net).values()
    with torch.no_grad():
        for owner in owners:
            owner.positions[:, 0] += 100
            owner.positions[:, 2] -= 100
    before = {name: value.clone() for name, value in net.state_dict().items()}
    clamp_model_(net)
    for owner in owners:
        for row, size in zip(owner.positions, owner.kernel_size, strict=True):
            low, high = position_limits(size)
            assert low == row.min() and row.max() == high
    for name, value in net.state_dict().items():
        if name.endswith("positions"):
            inside = before[name].abs() <= 2
            assert torch.equal(value[inside], before[name][inside])
        else:
            assert torch.equal(value, before[name]), name


@each_network
def test_the_term_is_the_square_of_the_mean_over_owners_and_has_its_gradient(network):
    net = NETWORKS[network]()
    owners = position_owners(net).values()
    learning = [o.positions for o in owners if o.positions.requires_grad]
    expected = (sum(repulsion(owner.positions) for owner in owners) / len(owners)) ** 2
    found = repulsion_loss(net)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(loss, learning) for loss in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_a_model_without_positions_has_no_term():
    with pytest.raises(ValueError, match="repulsion_loss needs .* Linear has none"):
        repulsion_loss(nn.Linear(2, 2))
    clamp_model_(nn.Linear(2, 2))


def on_cells(network: str, state: dict) -> nn.Module:
    """The network with this state, but each element on its cell: a triangle of unit width there."""
    net = NETWORKS[network]().eval()
    net.load_state_dict(state)
    with torch.no_grad():
        for owner in position_owners(net).values():
            owner.positions.round_()
            if owner.sigma is not None:
                owner.sigma.zero_()
                owner.interpolation = "triangle"
    return net


@each_network
def test_within_rounded_a_model_computes_on_cells_and_after_it_as_before(network):
    net = NETWORKS[network]().eval()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    x = images()
    with torch.no_grad():
        before = net(x)
        with rounded(net):
            torch.testing.assert_close(net(x), on_cells(network, state)(x), rtol=1e-5, atol=1e-6)
            assert not torch.allclose(net(x), before)
        assert torch.equal(net(x), before)
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_rounding_ends_also_where_an_evaluation_fails_and_as_it_was():
    net = NETWORKS["several"]()
    net[1].on_cells = True
    before = [owner.on_cells for owner in position_owners(net).values()]
    with pytest.raises(OSError), rounded(net), rounded(net):
        assert all(owner.on_cells for owner in position_owners(net).values())
        raise OSError("disk on fire")
    assert [owner.on_cells for owner in position_owners(net).values()] == before
    assert before == [True, False, False, False]
