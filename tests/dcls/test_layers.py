"""A DCLS layer is the `nn.ConvNd` that holds its kernel."""

import inspect
import warnings

import pytest
import torch
from torch import nn
from torch.func import functional_call

from helpers.cases import (
    CONVS,
    GEOMETRIES,
    LAYERS,
    assert_same_values_and_gradients,
    draw_input,
    draw_layer,
    geometry,
)
from mmdcls.dcls import INTERPOLATIONS, ElementPositions, construct_kernel

each_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)
each_axes = pytest.mark.parametrize("axes", [1, 2, 3])
CHANNELS = {
    "dense": dict(in_channels=4, out_channels=3, groups=1),
    "two groups": dict(in_channels=4, out_channels=6, groups=2),
    "depthwise": dict(in_channels=4, out_channels=4, groups=4),
    "two outputs per input": dict(in_channels=4, out_channels=8, groups=4),
}


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("channels", CHANNELS)
@each_axes
def test_output_and_gradients_are_those_of_the_plain_convolution_with_the_kernel(
    axes, channels, name, padding_mode
):
    arguments = CHANNELS[channels] | geometry(name, axes) | dict(padding_mode=padding_mode)
    layer = draw_layer(axes, **arguments)
    plain = CONVS[axes](**arguments, dtype=torch.double)
    x = draw_input(axes)

    def convolved(x: torch.Tensor) -> torch.Tensor:
        return functional_call(plain, dict(weight=layer.kernel(), bias=layer.bias), (x,))

    assert layer.kernel().shape == plain.weight.shape
    sources = dict(x=x, **dict(layer.named_parameters()))
    assert_same_values_and_gradients(layer(x), convolved(x), sources)
    unbatched = x[0]
    torch.testing.assert_close(layer(unbatched), convolved(unbatched))
    torch.testing.assert_close(layer(unbatched), layer(x)[0])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", CHANNELS)
@each_interpolation
@each_axes
def test_to_conv_computes_the_same(axes, interpolation, channels, bias, training):
    layer = draw_layer(axes, **CHANNELS[channels], bias=bias, interpolation=interpolation)
    layer.train(training)
    plain = layer.to_conv()
    assert type(plain) is CONVS[axes]
    assert plain.training == training
    assert (plain.bias is not None) == bias
    assert all(parameter.requires_grad for parameter in plain.parameters())
    x = draw_input(axes)
    torch.testing.assert_close(plain(x), layer(x))
    with torch.no_grad():
        torch.testing.assert_close(plain(x), layer(x))


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
@each_axes
def test_to_conv_keeps_the_geometry(axes, padding_mode, name):
    layer = draw_layer(axes, **geometry(name, axes), padding_mode=padding_mode)
    plain = layer.to_conv()
    x = draw_input(axes)
    torch.testing.assert_close(plain(x), layer(x))
    for attribute in ("kernel_size", "stride", "padding", "padding_mode", "groups"):
        assert getattr(plain, attribute) == getattr(layer, attribute), attribute


@each_interpolation
@each_axes
def test_the_kernel_of_a_layer_is_the_constructed_one(axes, interpolation):
    layer = draw_layer(axes, kernel_size=(4, 5, 3)[:axes], interpolation=interpolation)
    kernel = construct_kernel(
        layer.weight, layer.positions, layer.sigma, layer.kernel_size, interpolation
    )
    torch.testing.assert_close(layer.kernel(), kernel)


@each_axes
def test_parameters_have_the_promised_shapes(axes):
    for interpolation, rule in INTERPOLATIONS.items():
        layer = LAYERS[axes](4, 6, 5, groups=2, kernel_count=3, interpolation=interpolation)
        assert layer.weight.shape == (6, 2, 3)
        assert layer.positions.shape == (axes, 6, 2, 3)
        assert layer.bias.shape == (6,)
        if rule.has_sigma:
            assert layer.sigma.shape == layer.positions.shape
        else:
            assert layer.sigma is None


@each_axes
def test_arguments_up_to_padding_mode_are_those_of_the_plain_convolution(axes):
    def arguments(layer: type) -> list[tuple]:
        parameters = inspect.signature(layer).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    ours = arguments(LAYERS[axes])
    theirs = arguments(CONVS[axes])
    count = [name for name, *_ in theirs].index("padding_mode") + 1
    assert ours[:count] == theirs[:count]
    assert {kind for _, kind, _ in ours[count:]} == {inspect.Parameter.KEYWORD_ONLY}


@each_axes
def test_attributes_that_others_read_are_those_of_the_plain_convolution(axes):
    arguments = dict(in_channels=4, out_channels=6, kernel_size=4, stride=2, padding=1, groups=2)
    layer, plain = LAYERS[axes](**arguments, kernel_count=3), CONVS[axes](**arguments)
    for name in (*arguments, "dilation", "transposed", "output_padding", "padding_mode"):
        assert getattr(layer, name) == getattr(plain, name), name


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("with_gradient", [True, False])
@pytest.mark.parametrize("channels", CHANNELS)
@each_axes
def test_contiguous_in_is_contiguous_out(axes, channels, with_gradient, training):
    layer = draw_layer(axes, **CHANNELS[channels]).float().train(training)
    x = draw_input(axes).float()
    with torch.set_grad_enabled(with_gradient):
        assert layer(x).is_contiguous()


@pytest.mark.parametrize("channels", CHANNELS)
def test_any_memory_layout_of_the_input_gives_the_same(channels):
    layer = draw_layer(**CHANNELS[channels])
    x = draw_input()
    expected = layer(x)
    layouts = [
        x.contiguous(memory_format=torch.channels_last),
        x.transpose(2, 3).contiguous().transpose(2, 3),
        torch.stack([x, x], -1)[..., 0],
    ]
    for layout in layouts:
        assert not layout.is_contiguous()
        torch.testing.assert_close(layer(layout), expected)
    constant = x[:1, :, :1, :1].expand(2, 4, 6, 7)
    torch.testing.assert_close(layer(constant), layer(constant.contiguous()))


@pytest.mark.parametrize("channels", CHANNELS)
@each_axes
def test_an_empty_batch_goes_through_forward_and_backward(axes, channels):
    layer = draw_layer(axes, **CHANNELS[channels])
    layer(draw_input(axes)[:0]).sum().backward()
    for name, parameter in layer.named_parameters():
        assert not parameter.grad.any(), name


@pytest.mark.parametrize("channels", CHANNELS)
@each_interpolation
@each_axes
def test_shared_positions_give_what_own_positions_give(axes, interpolation, channels):
    arguments = CHANNELS[channels] | dict(interpolation=interpolation)
    own = draw_layer(axes, **arguments)
    shared = draw_layer(axes, **arguments, share_positions=True)
    owner = ElementPositions(own.kernel_size, interpolation, tuple(own.weight.shape))
    owner.load_state_dict(
        {k: v for k, v in own.state_dict().items() if k in dict(owner.named_parameters())},
        assign=True,
    )
    shared.load_state_dict({k: own.state_dict()[k] for k in ("weight", "bias")})
    assert set(shared.state_dict()) == {"weight", "bias"}
    x = draw_input(axes)
    shares = owner.shares()
    torch.testing.assert_close(shared(x, shares), own(x))
    torch.testing.assert_close(shared.kernel(shares), own.kernel())
    torch.testing.assert_close(shared.to_conv(shares)(x), own(x))
    shared(x, owner.shares()).sum().backward()
    own(x).sum().backward()
    for name, parameter in owner.named_parameters():
        torch.testing.assert_close(parameter.grad, own.get_parameter(name).grad)


def test_weight_and_bias_start_as_those_of_a_convolution_with_as_many_cells():
    layer = LAYERS[1](8, 64, 31, groups=2, kernel_count=5)
    bound = 1 / (4 * 5) ** 0.5
    for parameter in (layer.weight, layer.bias):
        assert parameter.abs().max() <= bound
        assert abs(parameter.std() - bound / 3**0.5) < 0.15 * bound


@each_axes
def test_a_layer_is_built_and_run_without_a_warning(axes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for interpolation in INTERPOLATIONS:
            for channels in CHANNELS.values():
                layer = draw_layer(axes, interpolation=interpolation, **channels)
                layer(draw_input(axes)).sum().backward()
                layer.eval().to_conv()


def test_the_printed_layer_tells_its_arguments():
    text = repr(nn.Sequential(LAYERS[2](4, 6, (5, 4), kernel_count=3, interpolation="gaussian")))
    for word in ("Dcls2d(4, 6", "kernel_size=(5, 4)", "kernel_count=3", "'gaussian'"):
        assert word in text


def test_numbers_of_other_libraries_are_numbers():
    numpy = pytest.importorskip("numpy", reason="torch works without numpy")
    layer = LAYERS[2](4, 4, numpy.int64(5), padding=[numpy.int64(2), 1], kernel_count=3)
    assert layer.kernel_size == (5, 5) and layer.padding == (2, 1)
    assert {type(number) for number in layer.kernel_size + layer.padding} == {int}
