"""Positions that layers of a converted network share belong to one of them, whatever is done."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from helpers.cases import autocast
from helpers.networks_of_convs import Network, draw_image, draw_network
from mmdcls.dcls import Dcls2d, convert, merged, position_owners
from mmdcls.dcls.groups import position_groups

WHERE = r"layer\d\.\d\.(conv2|mixer)"


def draw_converted(interpolation: str = "gaussian", dtype: torch.dtype = torch.double) -> Network:
    network = draw_network(dtype)
    # By the block, conv2 keeps its stride or dilation, and mixers of both stages have the same.
    convert(network, dict(where=WHERE, kernel_size=7, kernel_count=5, interpolation=interpolation))
    for owner in position_owners(network).values():
        owner.positions.data.uniform_(-3, 3)
    return network


def shared_mixers(network: Network) -> tuple[Dcls2d, Dcls2d]:
    first, second = (network.layer1[index].mixer for index in range(2))
    assert second.positions is None and second.owner is first
    return first, second


def test_state_and_parameters_have_them_once():
    network = draw_converted()
    first, _ = shared_mixers(network)
    names = [name for name in network.state_dict() if "layer1" in name and "mixer" in name]
    assert [name for name in names if name.endswith(("positions", "sigma"))] == [
        "layer1.0.mixer.positions",
        "layer1.0.mixer.sigma",
    ]
    assert sum(parameter is first.positions for parameter in network.parameters()) == 1
    assert [m for m in position_owners(network).values() if m is first] == [first]
    group = next(group for group in position_groups(network) if group.owner is first)
    assert tuple(group.layers) == ("layer1.0.mixer", "layer1.1.mixer")


def by_pickle(network: Network) -> Network:
    return pickle.loads(pickle.dumps(network))


def by_saving(network: Network) -> Network:
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = draw_converted()
    other.load_state_dict(torch.load(file, weights_only=True))
    return other


def by_averaging(network: Network) -> Network:
    average = torch.optim.swa_utils.AveragedModel(network)
    average.update_parameters(network)
    return average.module


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": by_pickle,
    "state": by_saving,
    "average": by_averaging,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_has_its_own_and_shares_them_again(copied):
    network, x = draw_converted(), draw_image()
    before = network(x)
    other = copied(network)
    first, second = shared_mixers(other)
    assert first is not network.layer1[0].mixer
    torch.testing.assert_close(other(x), before)
    first.positions.data.zero_()
    assert not torch.allclose(other(x), before)
    torch.testing.assert_close(network(x), before)
    assert torch.equal(first.shares()[0], second.shares()[0])


def test_safetensors_saves_a_converted_network(tmp_path):
    from safetensors.torch import load_model, save_model

    network, other, x = draw_converted(), draw_converted(), draw_image()
    save_model(network, str(tmp_path / "network.safetensors"))
    assert load_model(other, str(tmp_path / "network.safetensors")) == (set(), [])
    torch.testing.assert_close(other(x), network(x))


def test_gradients_are_those_of_all_layers():
    """As of the same network with positions of their own, added up."""
    network, x = draw_converted(), draw_image()
    alone = draw_network()
    rule = dict(where=WHERE, kernel_size=7, kernel_count=5, interpolation="gaussian", share="layer")
    convert(alone, rule)
    state = network.state_dict()
    for group in position_groups(network):
        for layer in group.layers:
            for kind in ("positions", "sigma"):
                state[f"{layer}.{kind}"] = state[f"{group.name}.{kind}"]
    alone.load_state_dict(state)
    torch.testing.assert_close(alone(x), network(x))
    for model in (network, alone):
        model(x).square().sum().backward()
    theirs = dict(alone.named_parameters())
    for group in position_groups(network):
        for kind in ("positions", "sigma"):
            summed = sum(theirs[f"{layer}.{kind}"].grad for layer in group.layers)
            torch.testing.assert_close(getattr(group.owner, kind).grad, summed)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_activation_checkpointing_changes_no_gradient(use_reentrant):
    network, x = draw_converted(), draw_image().requires_grad_()
    network(x).square().sum().backward()
    wanted = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    for stage in (network.layer1, network.layer2):
        for block in stage:
            block.forward = checkpointed(block.forward, use_reentrant)
    network(x).square().sum().backward()
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    torch.testing.assert_close(found, wanted)


def checkpointed(forward, use_reentrant: bool):
    return lambda x: checkpoint(forward, x, use_reentrant=use_reentrant)


def test_export_has_each_owner_once():
    network, x = draw_converted(), draw_image()
    program = torch.export.export(network, (x,))
    torch.testing.assert_close(program.module()(x), network(x))
    names = [name for name in program.state_dict if name.endswith("positions")]
    assert names == [f"{name}.positions" for name in position_owners(network)]


@pytest.mark.slow
def test_compiled_whole_it_computes_and_learns_the_same():
    network, x = draw_converted(), draw_image()
    compiled = torch.compile(copy.deepcopy(network), fullgraph=True)
    results = []
    for model in (network, compiled):
        y = model(x)
        y.square().sum().backward()
        results.append((y.detach(), [p.grad for p in model.parameters()]))
    torch.testing.assert_close(results[1], results[0])


def test_merged_layers_are_plain_and_the_network_stays():
    network, x = draw_converted(), draw_image()
    before = network(x)
    plain = merged(network)
    assert not position_owners(plain)
    torch.testing.assert_close(plain(x), before)
    torch.testing.assert_close(network(x), before)
    # A part without the owner of its positions is merged as well.
    torch.testing.assert_close(
        merged(network.layer1[1])(x[:, :1].expand(-1, 4, -1, -1)),
        network.layer1[1](x[:, :1].expand(-1, 4, -1, -1)),
    )


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_it_computes_in_half_precision(dtype):
    network, x = draw_converted(dtype=torch.float), draw_image(torch.float)
    wanted = network(x)
    with autocast(dtype):
        found = network(x)
    torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.1)
    whole = copy.deepcopy(network).to(dtype)
    torch.testing.assert_close(whole(x.to(dtype)).float(), wanted, rtol=0.1, atol=0.1)


def test_one_optimiser_step_moves_them_once():
    network, x = draw_converted(), draw_image()
    first, _ = shared_mixers(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(x).square().sum().backward()
    wanted = first.positions - 0.1 * first.positions.grad
    optimizer.step()
    torch.testing.assert_close(first.positions, wanted)


def test_rounding_and_clamping_reach_every_layer():
    network, x = draw_converted(), draw_image()
    first, second = shared_mixers(network)
    first.positions.data.fill_(40)
    first.clamp_positions_()
    assert second.kernel().nonzero()[:, 2:].unique().tolist() != []
    first.on_cells = True
    cells = (second.kernel() != 0).flatten(1).sum(1)
    assert (cells == 1).all()
    network(x)


def test_a_layer_with_positions_borrows_none():
    layer = Dcls2d(4, 4, 5, kernel_count=2)
    with pytest.raises(ValueError, match="share_positions=True"):
        layer.borrow_positions(layer)


def test_distributed_data_parallel_averages_them_once(process_group):
    network, x = draw_converted(), draw_image()
    network(x).square().sum().backward()
    wanted = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    nn.parallel.DistributedDataParallel(network)(x).square().sum().backward()
    torch.testing.assert_close([p.grad for p in network.parameters()], wanted)


def test_a_layer_without_positions_lends_none():
    first, second = (Dcls2d(4, 4, 5, kernel_count=2, share_positions=True) for _ in range(2))
    for owner in (first, second):
        with pytest.raises(ValueError, match="lends none"):
            first.borrow_positions(owner)
