"""Code out there sets attributes of finished convolutions, and ours follow them or refuse."""

import copy
import pickle

import pytest
import torch

from helpers.cases import assert_same_values_and_gradients, autocast, draw_input, draw_layer
from mmdcls.dcls import DclsNd

each_axes = pytest.mark.parametrize("axes", [1, 2, 3])
each_groups = pytest.mark.parametrize("groups", [1, 2, 4])
# Per axis; a number is given to one axis and to all.
SET = {
    "stride": dict(stride=2),
    "padding": dict(padding=1),
    "same": dict(padding="same"),
    "valid": dict(padding="valid"),
    "dilation": dict(dilation=2),
    "padding mode": dict(padding_mode="reflect"),
    "kernel size": dict(kernel_size=7),
    "as mmseg's MobileNetV3": dict(stride=1, dilation=4, padding=8),
    "dilation, same": dict(dilation=3, padding="same"),
    "dilation, same, even": dict(kernel_size=4, dilation=3, padding="same"),
    "dilation, circular": dict(dilation=2, padding=3, padding_mode="circular"),
}
REFUSED = {
    "no stride": dict(stride=0),
    "stride of other axes": dict(stride=(1, 1, 1, 1)),
    "same with a stride": dict(stride=2, padding="same"),
    "no dilation": dict(dilation=0),
    "fractional dilation": dict(dilation=1.5),
    "negative padding": dict(padding=-1),
    "unknown padding": dict(padding="half"),
    "unknown padding mode": dict(padding_mode="mirror"),
    "more groups": dict(groups=4),
    "fewer groups": dict(groups=1),
    "empty kernel": dict(kernel_size=(0,)),
}


def change(layer: DclsNd, attributes: dict, in_numbers: bool = False) -> DclsNd:
    for name, value in attributes.items():
        spread = isinstance(value, int) and name != "groups"
        spread = spread and (name == "kernel_size" or not in_numbers)
        setattr(layer, name, (value,) * layer.axes if spread else value)
    return layer


@pytest.mark.parametrize("in_numbers", [False, True])
@pytest.mark.parametrize("attributes", SET.values(), ids=SET)
@each_groups
@each_axes
def test_an_attribute_that_is_set_is_followed_as_the_plain_convolution_does(
    axes, groups, attributes, in_numbers
):
    layer = draw_layer(axes, groups=groups, stride=2, padding=2)
    layer.positions.data.clamp_(-1, 1)  # borders to trim
    change(layer, dict(stride=1))
    layer.eval()(draw_input(axes).detach())
    change(layer, attributes, in_numbers)
    plain = layer.to_conv()
    for name, value in attributes.items():
        found = getattr(plain, name)
        assert found == (value if isinstance(value, str) else (value,) * axes)
    x = draw_input(axes, batch=1, least=9)
    assert_same_values_and_gradients(layer.train()(x), plain(x), dict(x=x))
    twins = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    for twin in (layer.eval(), layer.to_conv(trim=True), *twins):
        torch.testing.assert_close(twin(x), plain(x))
    fresh = draw_layer(axes, groups=groups, stride=2, padding=2)
    assert layer.state_dict().keys() == fresh.state_dict().keys()


@pytest.mark.parametrize("attributes", REFUSED.values(), ids=REFUSED)
@each_axes
def test_an_attribute_that_does_not_fit_is_refused(axes, attributes):
    layer = change(draw_layer(axes, groups=2, padding=2), attributes)
    with pytest.raises((ValueError, RuntimeError, NotImplementedError)):
        layer(draw_input(axes))


@pytest.mark.parametrize("groups", [1, 4])
def test_a_dilated_layer_compiles_exports_and_runs_under_autocast(groups):
    torch.compiler.reset()
    layer = draw_layer(groups=groups, interpolation="gaussian")
    change(layer, dict(dilation=2, padding=4))
    x = draw_input().detach()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    exported = torch.export.export(layer, (x,)).module()
    for twin in (compiled, exported):
        torch.testing.assert_close(twin(x), layer(x))
    layer.float()
    with autocast():
        y, expected = layer(x.float()), layer.to_conv()(x.float())
        torch.testing.assert_close(y, expected, rtol=0.02, atol=0.02)
