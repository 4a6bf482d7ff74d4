"""Merged with its ways kept, a network has the plain one's weights and computes the same."""

import copy
import pickle

import pytest
import torch
from torch import nn

from helpers.cases import (
    CONVS,
    GEOMETRIES,
    LAYERS,
    assert_same_values_and_gradients,
    autocast,
    draw_input,
    draw_layer,
    geometry,
)
from helpers.ways import recorded
from mmdcls.dcls import DclsNd, DepthwiseConv2d, DepthwiseConv3d, merged

CHANNELS = 4


KEPT = {2: DepthwiseConv2d, 3: DepthwiseConv3d}
each_axes = pytest.mark.parametrize("axes", KEPT)


def layer_of(axes: int = 2, **options) -> DclsNd:
    return draw_layer(axes, **{**dict(kernel_size=5, padding=2, groups=CHANNELS), **options})


def kept(axes: int = 2, **options) -> DepthwiseConv2d | DepthwiseConv3d:
    return layer_of(axes, **options).to_conv(keep_ways=True)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("name", GEOMETRIES)
@each_axes
def test_it_is_the_plain_convolution_in_values_gradients_and_state(axes, name, trim, padding_mode):
    layer = layer_of(axes, **geometry(name, axes), padding_mode=padding_mode)
    layer.positions.data.uniform_(-0.5, 0.5)
    plain, ours = layer.to_conv(trim=trim), layer.to_conv(trim=trim, keep_ways=True)
    assert type(ours) is KEPT[axes] and ours.extra_repr() == plain.extra_repr()
    torch.testing.assert_close(ours.state_dict(), plain.state_dict(), rtol=0, atol=0)
    ours.load_state_dict(plain.state_dict())
    ours.weight, ours.bias = plain.weight, plain.bias
    x = draw_input(axes)
    sources = dict(x=x, weight=plain.weight, bias=plain.bias)
    assert_same_values_and_gradients(ours(x), plain(x), sources)


@pytest.mark.parametrize("wanted, kernel_size", [("direct", 17), ("fft", 63)])
def test_it_takes_the_way_that_the_layer_takes(wanted, kernel_size, monkeypatch, on_cpu):
    taken = recorded(monkeypatch)
    layer = layer_of(kernel_size=kernel_size, padding="same").float()
    x = torch.randn(1, CHANNELS, 64, 64)
    for convolve in (layer, layer.to_conv(keep_ways=True)):
        taken.clear()
        convolve(x)
        assert [way for _, way, _ in taken] == [wanted]
    taken.clear()
    layer.to_conv()(x)
    assert not taken


def test_what_is_not_depthwise_of_two_or_three_axes_is_plain():
    for axes in CONVS:
        for groups in (1, 2, CHANNELS):
            conv = draw_layer(axes, groups=groups).to_conv(keep_ways=True)
            kind = KEPT.get(axes, CONVS[axes]) if groups == CHANNELS else CONVS[axes]
            assert type(conv) is kind
    wider = draw_layer(2, out_channels=2 * CHANNELS, groups=CHANNELS)
    assert type(wider.to_conv(keep_ways=True)) is nn.Conv2d


def test_weights_of_two_merged_networks_are_interchangeable():
    def network() -> nn.Sequential:
        return nn.Sequential(layer_of(), nn.Sequential(draw_layer(2), nn.ReLU()), layer_of()).eval()

    first, second = (merged(network(), trim=False, keep_ways=keep) for keep in (True, False))
    assert first.state_dict().keys() == second.state_dict().keys()
    first.load_state_dict(second.state_dict())
    x = draw_input()
    torch.testing.assert_close(first(x), second(x))
    kinds = [type(module) for module in first.modules() if isinstance(module, nn.Conv2d)]
    assert kinds == [DepthwiseConv2d, nn.Conv2d, DepthwiseConv2d]
    assert not any(module.training for module in first.modules())


def test_a_single_map_and_autocast_are_as_to_the_plain_convolution():
    layer = layer_of().float()
    plain, ours = layer.to_conv(), layer.to_conv(keep_ways=True)
    x = draw_input().detach().float()
    torch.testing.assert_close(ours(x[0]), plain(x[0]))
    with autocast(torch.bfloat16):
        assert ours(x).dtype == plain(x).dtype
        torch.testing.assert_close(ours(x), plain(x), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    "axes, memory_format",
    [
        (2, torch.contiguous_format),
        (2, torch.channels_last),
        (3, torch.contiguous_format),
        (3, torch.channels_last_3d),
    ],
)
def test_values_come_in_the_memory_format_of_the_map(axes, memory_format, on_cpu):
    x = draw_input(axes, least=9).detach().contiguous(memory_format=memory_format)
    assert kept(axes)(x).is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda conv: pickle.loads(pickle.dumps(conv))])
@each_axes
def test_copies_compute_the_same(axes, make):
    conv, x = kept(axes), draw_input(axes)
    twin = make(conv)
    assert type(twin) is KEPT[axes]
    torch.testing.assert_close(twin(x), conv(x))


def test_attributes_that_are_set_are_followed():
    conv, x = kept(), draw_input()
    plain = nn.Conv2d(CHANNELS, CHANNELS, 5, groups=CHANNELS).double()
    plain.load_state_dict(conv.state_dict())
    for attributes in (dict(stride=2), dict(padding=4), dict(stride=1, dilation=2)):
        for module in (conv, plain):
            for name, value in {**dict(stride=1, padding=2), **attributes}.items():
                setattr(module, name, (value, value))
        torch.testing.assert_close(conv(x), plain(x))


@each_axes
def test_it_may_become_a_layer_again(axes):
    conv, x = kept(axes), draw_input(axes)
    layer = LAYERS[axes].from_conv(conv, kernel_size=7, kernel_count=5**axes)
    torch.testing.assert_close(layer(x), conv(x))


@pytest.mark.slow
def test_it_exports_as_a_plain_convolution_for_any_batch_and_size():
    conv = kept().eval()
    dynamic = {
        axis: torch.export.Dim(name, min=least)
        for axis, (name, least) in {0: ("n", 1), 2: ("h", 6), 3: ("w", 6)}.items()
    }
    example = (draw_input().detach(),)
    program = torch.export.export(conv, example, dynamic_shapes=(dynamic,))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert sum("conv2d" in target for target in targets) == 1
    assert not [target for target in targets if "mmdcls" in target]
    for x in (draw_input(batch=1, least=6), draw_input(batch=3, least=20)):
        torch.testing.assert_close(program.module()(x), conv(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@each_axes
def test_it_compiles_and_traces(axes):
    conv, x = kept(axes).eval(), draw_input(axes).detach()
    torch.compiler.reset()
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), conv(x))
    torch.compiler.reset()
    torch.testing.assert_close(torch.jit.trace(conv, x)(x), conv(x))
