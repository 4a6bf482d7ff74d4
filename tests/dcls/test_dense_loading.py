"""A converted network loads the weights of the network as it was."""

import copy
import logging

import pytest
import torch
from torch import nn

from helpers.networks_of_convs import Network, draw_image, draw_network
from mmdcls.dcls import INTERPOLATIONS, convert
from mmdcls.dcls.dense_loading import as_loaded
from mmdcls.dcls.groups import position_groups

EXACT = [name for name in INTERPOLATIONS if name != "gaussian"]
WHERE = r".*(conv2|mixer|row)"


def draw_converted(**options) -> Network:
    network = draw_network()
    convert(network, dict(where=WHERE, kernel_size=9, kernel_count=25, start="random") | options)
    return network


@pytest.mark.parametrize("share", ["stage", "layer"])
@pytest.mark.parametrize("interpolation", EXACT)
def test_dense_weights_become_elements_strictly(interpolation, share):
    dense, x = draw_network(), draw_image()
    network = draw_converted(interpolation=interpolation, share=share)
    state = dense.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    assert not any(network.load_state_dict(state))
    torch.testing.assert_close(network(x), dense(x), rtol=0, atol=1e-6)
    assert state.keys() == before.keys()
    assert all(torch.equal(state[name], before[name]) for name in before)


def test_fewer_elements_come_as_close_as_those_of_a_converted_network():
    dense = draw_network()
    loaded = draw_converted(kernel_count=4)
    loaded.load_state_dict(dense.state_dict())
    made = copy.deepcopy(dense)
    convert(made, dict(where=WHERE, kernel_size=9, kernel_count=4))
    x = draw_image()
    torch.testing.assert_close(loaded(x), made(x))


def test_its_own_state_is_taken_as_it_is():
    network, other, x = draw_converted(), draw_converted(), draw_image()
    assert not any(other.load_state_dict(network.state_dict()))
    torch.testing.assert_close(other(x), network(x), rtol=0, atol=0)


def test_a_part_may_be_loaded_and_a_whole_may_have_a_prefix():
    dense, network, x = draw_network(), draw_converted(), draw_image()
    for name, part in network.named_children():
        part.load_state_dict(getattr(dense, name).state_dict())
    torch.testing.assert_close(network(x), dense(x), rtol=0, atol=1e-6)
    around = nn.Sequential(draw_converted())
    around.load_state_dict(nn.Sequential(dense).state_dict())
    torch.testing.assert_close(around(x), dense(x), rtol=0, atol=1e-6)


def test_a_copy_loads_into_itself():
    dense, network, x = draw_network(), draw_converted(), draw_image()
    before = network(x)
    other = copy.deepcopy(network)
    other.load_state_dict(dense.state_dict())
    torch.testing.assert_close(other(x), dense(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(network(x), before)


def test_layers_without_the_owner_of_their_positions_take_no_dense_kernel():
    dense, network = draw_network(), draw_converted()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match="conv2 shares the positions of a layer outside"):
        network.layer1[1].load_state_dict(dense.layer1[1].state_dict())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_kernels_that_do_not_fit_are_refused_and_named():
    network, state = draw_converted(), draw_network().state_dict()
    for name in [name for name in state if name.endswith("mixer.weight")]:
        state[name] = torch.randn(4, 1, 11, 11, dtype=torch.double)
    with pytest.raises(ValueError, match=r"layer1\.0\.mixer cannot start from dense kernels"):
        network.load_state_dict(state)
    for name in [name for name in state if name.endswith("mixer.weight")]:
        state[name] = torch.randn(6, 1, 5, 5, dtype=torch.double)
    with pytest.raises(ValueError, match=r"\(6, 1, 5, 5\) are not those of the layers"):
        network.load_state_dict(state)


@pytest.mark.parametrize(("missing", "given"), [(0, 1), (1, 0)])
def test_what_is_missing_is_missing_and_no_more(missing, given):
    network, state = draw_converted(), draw_network().state_dict()
    name = f"layer1.{missing}.mixer.weight"
    del state[name]
    with pytest.raises(RuntimeError, match=rf'Missing key\(s\) in state_dict: "{name}"\. $'):
        network.load_state_dict(state)
    found = network.load_state_dict(state, strict=False)
    assert (found.missing_keys, found.unexpected_keys) == ([name], [])
    kernel = network.layer1[given].mixer.kernel()[..., 2:-2, 2:-2]
    torch.testing.assert_close(kernel, state[f"layer1.{given}.mixer.weight"])


def test_the_error_of_each_stage_is_logged(caplog):
    network, state = draw_converted(kernel_count=4), draw_network().state_dict()
    with caplog.at_level(logging.INFO, logger="mmdcls"):
        network.load_state_dict(state)
    (record,) = caplog.records
    for group in position_groups(network):
        assert f"{group.name.split('.')[0]} 0." in record.getMessage()


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 5, padding=2, groups=4)

    def forward(self, x):
        return self.conv(x)


def draw_series() -> nn.Module:
    """Of one dimension, where weights of elements have as many axes as dense kernels."""
    return nn.Sequential(nn.Sequential(Mixer(), Mixer()), nn.Sequential(Mixer(), Mixer())).double()


@pytest.mark.parametrize("kernel_count", [3, 5, 7, 9])
def test_in_one_dimension_it_takes_dense_weights_and_its_own(kernel_count):
    rule = dict(where=".*", kernel_size=9, kernel_count=kernel_count, start="random")
    dense = draw_series()
    network, other = (convert(copy.deepcopy(dense), rule)[0] for _ in range(2))
    x = torch.randn(2, 4, 20, dtype=torch.double)
    assert not any(other.load_state_dict(network.state_dict()))
    torch.testing.assert_close(other(x), network(x), rtol=0, atol=0)
    assert not any(network.load_state_dict(dense.state_dict()))
    if kernel_count >= 5:
        torch.testing.assert_close(network(x), dense(x))
    # Elements that lack positions, for other layers have them, are no dense kernels.
    apart, _ = convert(copy.deepcopy(dense), rule | dict(share="layer"))
    if kernel_count != 5:
        with pytest.raises(RuntimeError, match=r"Missing .*0\.1\.conv\.positions"):
            apart.load_state_dict(network.state_dict())


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)))
        self.again = nn.Sequential(self.layer1[0])

    def forward(self, x):
        return self.again(self.layer1(x))


def test_a_layer_of_several_names_takes_its_dense_kernel_with_its_group():
    """The second name has the owner of the positions without the other layer that uses them."""

    dense = Shared().double()
    made, _ = convert(copy.deepcopy(dense), dict(where=".*", kernel_size=7, kernel_count=4))
    loaded, _ = convert(Shared().double(), dict(where=".*", kernel_size=7, kernel_count=4))
    loaded.load_state_dict(dense.state_dict())
    x = torch.randn(2, 4, 12, 12, dtype=torch.double)
    torch.testing.assert_close(loaded(x), made(x))


@pytest.mark.parametrize("drawn", [draw_network, draw_series, Shared])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_what_will_be_loaded_is_known_before(drawn, every):
    """Every name and shape, also where the state lacks layers."""
    dense = drawn()
    network, _ = convert(copy.deepcopy(dense), dict(where=".*", where_stride=1, kernel_count=3))
    state = dict(list(dense.state_dict().items())[::every])
    found, own = as_loaded(network, state), network.state_dict()
    assert all(value.shape == own[name].shape for name, value in found.items())
    missing, _ = network.load_state_dict(state, strict=False)
    # Counts that a state without versions lacks are none to torch.
    lacking = {name for name in set(own) - set(found) if "num_batches" not in name}
    assert lacking == set(missing)


def test_dense_kernels_that_are_not_finite_are_refused_and_named():
    network, state = draw_converted(), draw_network().state_dict()
    state["layer1.1.mixer.weight"][0, 0, 1, 1] = float("inf")
    with pytest.raises(ValueError, match=r"layer1\.0\.mixer cannot start .* NaN or infinity"):
        network.load_state_dict(state)
