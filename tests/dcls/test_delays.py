"""Causal layers: whole delays, tables of them, and one step of time after another."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

from mmdcls.dcls import (
    INTERPOLATIONS,
    Dcls1d,
    Dcls2d,
    Dcls3d,
    clamp_model_,
    delay_table,
    merged,
    rounded,
    step,
    whole_delays,
)

# in, out, kernel size, elements, groups
SHAPES = [(3, 4, 7, 1, 1), (4, 6, 6, 2, 2), (5, 5, 1, 1, 5), (4, 4, 2, 3, 4), (1, 3, 25, 1, 1)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)


def layer_of(shape, interpolation="gaussian", bias=False) -> Dcls1d:
    channels, out, size, count, groups = shape
    torch.manual_seed(sum(shape))
    return Dcls1d(
        channels,
        out,
        size,
        padding="causal",
        groups=groups,
        bias=bias,
        kernel_count=count,
        interpolation=interpolation,
        initial_spread="uniform",
        dtype=torch.float64,
    )


def sequence(shape, steps=30) -> torch.Tensor:
    return torch.randn(2, shape[0], steps, dtype=torch.float64)


@each_shape
@each_interpolation
def test_outputs_know_of_no_later_input_and_are_as_many(shape, interpolation):
    layer, x = layer_of(shape, interpolation, bias=True), sequence(shape)
    y = layer(x)
    assert y.shape == (2, shape[1], 30)
    torch.testing.assert_close(
        y, F.conv1d(F.pad(x, (shape[2] - 1, 0)), layer.kernel(), layer.bias, groups=shape[4])
    )
    later = x.clone()
    later[..., 11:] = 5
    torch.testing.assert_close(layer(later)[..., :11], y[..., :11])


@pytest.mark.parametrize(("kind", "size"), [(Dcls2d, (5, 4)), (Dcls3d, (4, 3, 2))])
def test_time_is_the_first_of_several_axes_and_the_others_are_as_of_same(kind, size):
    layer = kind(2, 2, size, padding="causal", kernel_count=3, dtype=torch.float64)
    x = torch.randn(1, 2, 9, *(8 for _ in size[1:]), dtype=torch.float64)
    y = layer(x)
    assert y.shape == x.shape
    later = x.clone()
    later[:, :, 6:] = 5
    torch.testing.assert_close(layer(later)[:, :, :6], y[:, :, :6])
    same = copy.copy(layer)
    same.padding = "same"
    # Of "same", the output at t has seen size - 1 - (size - 1) // 2 steps after t.
    ahead = size[0] - 1 - (size[0] - 1) // 2
    torch.testing.assert_close(y[:, :, ahead:], same(x)[:, :, :-ahead])
    past, stepped = None, []
    for t in range(9):
        out, past = step(layer, x[:, :, t], past)
        stepped.append(out)
    torch.testing.assert_close(torch.stack(stepped, 2), y)


@each_shape
@pytest.mark.parametrize("trim", [False, True])
def test_the_plain_network_computes_the_same(shape, trim):
    layer, x = layer_of(shape, bias=True), sequence(shape)
    torch.testing.assert_close(layer.to_conv(trim=trim)(x), layer(x))
    net = nn.Sequential(layer, nn.ReLU())
    torch.testing.assert_close(merged(net, trim=trim)(x), net(x))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_what_was_before_the_first_step_is_nothing(mode):
    refused = pytest.raises(ValueError, match="padding='causal' needs padding_mode='zeros'")
    with refused:
        Dcls1d(1, 1, 3, padding="causal", padding_mode=mode, kernel_count=1)
    layer = Dcls1d(1, 1, 3, padding=1, padding_mode=mode, kernel_count=1)
    layer.padding = "causal"
    with refused:
        layer(torch.zeros(1, 1, 9))


@pytest.mark.parametrize("dilation", [2, 3])
def test_a_dilation_that_is_set_makes_delays_longer(dilation):
    shape = (4, 6, 5, 2, 2)
    layer, x = layer_of(shape), sequence(shape)
    layer.dilation = (dilation,)
    past, stepped = None, []
    for now in x.unbind(-1):
        y, past = step(layer, now, past)
        stepped.append(y)
    torch.testing.assert_close(torch.stack(stepped, -1), layer(x))
    y = torch.zeros(2, shape[1], 30, dtype=torch.float64)
    for source, target, delay, weight in delay_table(layer):
        y[:, target, delay:] += weight * x[:, source, : 30 - delay]
    with rounded(layer):
        torch.testing.assert_close(layer(x), y)


@each_shape
@each_interpolation
def test_a_spike_comes_out_after_its_delay(shape, interpolation):
    layer = layer_of(shape, interpolation)
    channels, out, size, count, groups = shape
    delays = whole_delays(layer)
    assert delays.dtype == torch.int64 and delays.shape == layer.weight.shape
    assert delays.min() >= 0 and delays.max() < size
    with rounded(layer):
        for source in range(channels):
            spike = torch.zeros(1, channels, size, dtype=torch.float64)
            spike[0, source, 0] = 1
            expected = torch.zeros(out, size, dtype=torch.float64)
            for target in range(out):
                if target * groups // out == source * groups // channels:
                    for k in range(count):
                        place = target, source % (channels // groups), k
                        expected[target, delays[place]] += layer.weight[place].detach()
            torch.testing.assert_close(layer(spike)[0], expected)


@each_shape
def test_a_table_of_delays_is_all_of_a_rounded_layer(shape):
    layer, x = layer_of(shape, "triangle"), sequence(shape)
    y = torch.zeros(2, shape[1], 30, dtype=torch.float64)
    for source, target, delay, weight in delay_table(layer):
        y[:, target, delay:] += weight * x[:, source, : 30 - delay]
    with rounded(layer):
        torch.testing.assert_close(layer(x), y)


def exact(layer: Dcls1d, bits: int = 12) -> None:
    """On weights and positions whose sums float64 holds without rounding."""
    with torch.no_grad():
        layer.weight.mul_(2**bits).round_()
        layer.positions.mul_(8).round_().div_(8)


@each_shape
@pytest.mark.parametrize(
    ("interpolation", "on_cells"), [("bilinear", False), *((name, True) for name in INTERPOLATIONS)]
)
def test_step_after_step_is_the_sequence_bit_for_bit(shape, interpolation, on_cells):
    layer = layer_of(shape, interpolation)
    exact(layer)
    layer.on_cells = on_cells
    counts = torch.randint(4, (2, shape[0], 30)).double()
    past, steps = None, []
    for x in counts.unbind(-1):
        y, past = step(layer, x, past)
        steps.append(y)
    assert torch.equal(torch.stack(steps, -1), layer(counts))


@each_shape
@each_interpolation
def test_step_after_step_is_the_sequence_with_its_gradients(shape, interpolation):
    layer = layer_of(shape, interpolation, bias=True)
    x = sequence(shape).requires_grad_()
    past, steps, kernel = None, [], layer.kernel()
    for now in x.unbind(-1):
        y, past = step(layer, now, past, kernel)
        steps.append(y)
    stepped, whole = torch.stack(steps, -1), layer(x)
    torch.testing.assert_close(stepped, whole, rtol=1e-12, atol=1e-13)
    against = torch.randn_like(whole)
    wanted = [x, *layer.parameters()]
    for found, expected in zip(
        torch.autograd.grad(stepped, wanted, against, retain_graph=True),
        torch.autograd.grad(whole, wanted, against),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_the_past_is_all_there_is():
    layer, x = layer_of(SHAPES[0]), sequence(SHAPES[0])
    state = copy.deepcopy(layer.state_dict())
    first, past = step(layer, x[..., 0])
    kept = past.clone()
    again = [step(layer, x[..., 1], past)[0] for _ in range(2)]
    assert torch.equal(*again) and torch.equal(past, kept)
    assert torch.equal(step(layer, x[..., 0])[0], first)
    assert all(torch.equal(state[name], value) for name, value in layer.state_dict().items())
    with pytest.raises(ValueError, match=r"past \(1, 3, 6\) must be the one .* \(2, 3, 6\)"):
        step(layer, x[..., 1], past[:1])
    for wrong in (x, x[0, :, 0], x[:, :2, 0]):
        with pytest.raises(ValueError, match=r"x \(.*\) must be one step of time, \(N, 3\)"):
            step(layer, wrong)
    with pytest.raises(ValueError, match="padding='causal' and stride 1"):
        step(Dcls1d(3, 3, 7, kernel_count=1), x[..., 0])


@each_shape
def test_whole_delays_are_a_fixed_point_of_the_triangle(shape):
    """Of unit width on whole positions it is what is deployed, but for the published 1e-7 in the
    normaliser; rounding once more changes no bit."""
    layer = layer_of(shape, "triangle")
    delays = whole_delays(layer)
    with rounded(layer):
        deployed = layer.kernel()
    with torch.no_grad():
        layer.positions.round_()
    clamp_model_(layer)
    torch.testing.assert_close(layer.kernel(), deployed, rtol=2e-7, atol=0)
    assert torch.equal(whole_delays(layer), delays)
    with rounded(layer):
        assert torch.equal(layer.kernel(), deployed)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_fixed_point_positions_make_fixed_point_kernels(bits):
    """With so many bits after the point, and whole weights, cells have as many; those of the
    triangle of unit width are the same but for its normaliser."""
    layer = layer_of((4, 6, 9, 2, 1), "bilinear")
    with torch.no_grad():
        layer.positions.mul_(2**bits).round_().div_(2**bits)
        layer.weight.mul_(100).round_()
    cells = layer.kernel() * 2**bits
    assert torch.equal(cells, cells.round())
    assert torch.equal(layer.kernel().sum(-1), layer.weight.sum(-1))
    triangle = layer_of((4, 6, 9, 2, 1), "triangle")
    triangle.load_state_dict({**triangle.state_dict(), **layer.state_dict()})
    torch.testing.assert_close(triangle.kernel(), layer.kernel(), rtol=2e-7, atol=1e-5)


def test_masked_synapses_have_no_effect_no_gradient_and_no_row():
    shape = (4, 6, 9, 1, 1)
    layer, x = layer_of(shape), sequence(shape)
    mask = torch.rand(6, 4, 1) < 0.4
    prune.custom_from_mask(layer, "weight", mask)
    layer(x).square().sum().backward()
    assert (layer.weight_orig.grad[~mask] == 0).all() and (
        layer.positions.grad[0][~mask] == 0
    ).all()
    assert (layer.positions.grad[0][mask] != 0).all()
    assert {(row.target, row.source) for row in delay_table(layer)} == {
        (target, source) for target, source, _ in mask.nonzero().tolist()
    }
    torch.testing.assert_close(layer.eval()(x), layer.to_conv()(x))


def test_a_masked_layer_is_what_its_weights_are_at_the_moment_whatever_was_asked_last():
    shape = (4, 6, 9, 2, 1)
    layer, x = layer_of(shape), sequence(shape)
    prune.custom_from_mask(layer, "weight", torch.rand(6, 4, 2) < 0.4)
    optimizer = torch.optim.SGD(layer.parameters(), 0.01)
    for _ in range(2):
        stepped, past = [], None
        for now in x.unbind(-1):
            y, past = step(layer, now, past)
            stepped.append(y)
        optimizer.zero_grad()
        torch.stack(stepped, -1).square().sum().backward()
        optimizer.step()
    table, plain, kernel = delay_table(layer), layer.to_conv(), layer.kernel()
    whole = layer(x)
    torch.testing.assert_close(kernel, layer.kernel())
    torch.testing.assert_close(plain(x), whole)
    assert table == delay_table(layer)
    # A forward pass has left the weight a history.
    torch.testing.assert_close(merged(nn.Sequential(layer))(x), whole)


@pytest.mark.parametrize("where", ["axon", "dendrite"])
def test_one_delay_for_each_axon_or_dendrite(where):
    n, m = 3, 4
    delayed = layer_of((n, n, 7, 1, n) if where == "axon" else (m, m, 7, 1, m))
    weights = nn.Conv1d(n, m, 1, bias=False, dtype=torch.float64)
    net = nn.Sequential(*([delayed, weights] if where == "axon" else [weights, delayed]))
    # The same as a delay for each synapse: those of one axon, or dendrite, alike.
    every = layer_of((n, m, 7, 1, 1))
    with torch.no_grad():
        gain, place = delayed.weight, delayed.positions
        if where == "axon":
            gain, place = gain.transpose(0, 1), place.transpose(1, 2)
        every.weight.copy_(weights.weight * gain)
        every.positions.copy_(place.expand_as(every.positions))
    x = sequence((n,))
    torch.testing.assert_close(net(x), every(x))


def test_layers_without_positions_and_of_several_axes_are_told():
    with pytest.raises(ValueError, match="borrow_positions"):
        whole_delays(Dcls1d(1, 1, 3, kernel_count=1, share_positions=True))
    lost = layer_of(SHAPES[0])
    with torch.no_grad():
        lost.positions[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="NaN are no delays"):
        delay_table(lost)
    with pytest.raises(ValueError, match="give a Dcls1d"):
        delay_table(Dcls2d(1, 1, 3, kernel_count=1))
