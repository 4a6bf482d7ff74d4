"""DCLS layers as conv_cfg of mmcv and mmdet."""

import pytest
import torch
from mmcv.cnn import ConvModule, build_conv_layer
from mmengine.registry import MODELS
from torch import nn

from mmdcls.dcls import Dcls1d, Dcls2d, Dcls3d, merged

LAYERS = {"Dcls1d": Dcls1d, "Dcls2d": Dcls2d, "Dcls3d": Dcls3d}


@pytest.mark.parametrize("name", LAYERS)
def test_conv_cfg_builds_the_layer(name):
    cfg = dict(type=f"mmdcls.{name}", kernel_count=3, interpolation="gaussian")
    layer = build_conv_layer(cfg, 4, 6, 5, stride=2, padding=2, groups=2, bias=False)
    assert type(layer) is LAYERS[name]
    assert (layer.kernel_count, layer.interpolation, layer.bias) == (3, "gaussian", None)


def test_a_single_cell_stays_a_plain_convolution():
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3)
    assert type(build_conv_layer(cfg, 4, 6, kernel_size=1)) is nn.Conv2d


@pytest.mark.parametrize("padding_mode", ["zeros", "circular", "reflect", "replicate"])
def test_conv_module_takes_it_with_norm_and_activation(padding_mode):
    module = ConvModule(
        4,
        8,
        5,
        padding=2,
        padding_mode=padding_mode,
        conv_cfg=dict(type="mmdcls.Dcls2d", kernel_count=3),
        norm_cfg=dict(type="BN"),
    )
    module(torch.randn(2, 4, 9, 11)).square().sum().backward()
    assert module.conv.positions.grad.abs().sum() > 0


@pytest.mark.slow
def test_resnet50_of_mmdet_with_its_3x3_convolutions_replaced():
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=5, where_kernel_size=3, dcls_kernel_size=7)
    torch.manual_seed(0)
    replaced = MODELS.build(dict(type="mmdet.ResNet", depth=50, conv_cfg=cfg))
    plain = MODELS.build(dict(type="mmdet.ResNet", depth=50))
    layers = dict(replaced.named_modules())
    changed = [name for name, module in layers.items() if isinstance(module, Dcls2d)]
    three = [
        name
        for name, module in plain.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]
    assert changed == three and len(three) == 16
    assert {layers[name].kernel_size for name in changed} == {(7, 7)}
    image = torch.randn(2, 3, 64, 96)
    maps = replaced(image)
    assert [level.shape for level in maps] == [level.shape for level in plain(image)]
    sum(level.sum() for level in maps).backward()
    assert all(layers[name].positions.grad.abs().sum() > 0 for name in changed)


@pytest.mark.parametrize("padding, expected", [(1, (3, 3)), ((1, 2), (3, 4)), ("same", "same")])
def test_the_padding_follows_the_kernel_size(padding, expected):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, where_kernel_size=3, dcls_kernel_size=7)
    assert build_conv_layer(cfg, 4, 6, kernel_size=3, padding=padding).padding == expected


@pytest.mark.parametrize("size", [1, 4, 2.5, "7"])
def test_a_size_the_padding_cannot_follow_is_refused(size):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, dcls_kernel_size=size)
    with pytest.raises(ValueError, match="dcls_kernel_size") as error:
        build_conv_layer(cfg, 4, 6, kernel_size=3, padding=1)
    assert repr(size) in str(error.value)


@pytest.mark.parametrize("padding", [0, (0, 0), "valid"])
def test_where_nothing_is_padded_no_padding_can_follow(padding):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, dcls_kernel_size=7)
    with pytest.raises(ValueError, match=r"dcls_kernel_size=7.*padding_mode"):
        build_conv_layer(cfg, 4, 6, kernel_size=3, padding=padding)
    assert build_conv_layer(cfg, 4, 6, kernel_size=7, padding=padding).kernel_size == (7, 7)


@pytest.mark.parametrize("padding_mode", ["reflect", "replicate"])
def test_zeros_are_not_mixed_into_the_padding_of_a_conv_module(padding_mode):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, dcls_kernel_size=7)
    with pytest.raises(ValueError, match=r"dcls_kernel_size=7.*padding_mode"):
        ConvModule(4, 4, 3, padding=1, padding_mode=padding_mode, conv_cfg=cfg)


@pytest.mark.parametrize("size", [(3, 3), "3", 0, 2.5, True])
def test_a_where_kernel_size_that_can_be_no_kernel_size_is_refused(size):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, where_kernel_size=size)
    with pytest.raises(ValueError, match="where_kernel_size=") as error:
        build_conv_layer(cfg, 4, 6, kernel_size=1)
    assert repr(size) in str(error.value)


# dcls_kernel_size, dilation, kernel size, padding for a 3x3 convolution that keeps the size
DILATED = [
    (None, 2, (5, 5), (2, 2)),
    (None, (1, 3), (3, 7), (1, 3)),
    (7, 2, (9, 9), (4, 4)),
    (7, 4, (13, 13), (6, 6)),
]


@pytest.mark.parametrize("dcls_kernel_size, dilation, size, padding", DILATED)
def test_a_dilated_convolution_is_replaced_by_one_of_its_reach(
    dcls_kernel_size, dilation, size, padding
):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, dcls_kernel_size=dcls_kernel_size)
    layer = build_conv_layer(cfg, 4, 6, 3, padding=dilation, dilation=dilation)
    assert (layer.kernel_size, layer.padding, layer.dilation) == (size, padding, (1, 1))
    assert layer(torch.randn(1, 4, 9, 11)).shape == (1, 6, 9, 11)


def test_what_stays_plain_stays_dilated():
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, where_kernel_size=5)
    assert build_conv_layer(cfg, 4, 6, 3, padding=2, dilation=2).dilation == (2, 2)


def test_a_dilated_resnet_is_served():
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=5, where_kernel_size=3, dcls_kernel_size=7)
    dilated = dict(depth=18, base_channels=8, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
    image = torch.randn(1, 3, 32, 48)
    ours, plain = (
        MODELS.build(dict(type="mmseg.ResNet", **dilated, conv_cfg=conv_cfg))(image)
        for conv_cfg in (cfg, None)
    )
    assert [level.shape for level in ours] == [level.shape for level in plain]


@pytest.mark.parametrize("arch", ["small", "large"])
def test_mobilenet_v3_of_mmseg_dilates_finished_layers(arch):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=4)
    ours, plain = (
        MODELS.build(dict(type="mmseg.MobileNetV3", arch=arch, conv_cfg=conv_cfg))
        for conv_cfg in (cfg, None)
    )
    ours.eval(), plain.eval()
    state, dilations = ours.state_dict(), set()
    for name, layer in ours.named_modules():
        if isinstance(layer, Dcls2d):
            state[f"{name}.weight"] = layer.kernel()
            del state[f"{name}.positions"]
            dilations.add(layer.dilation)
    assert dilations == {(1, 1), (2, 2), (4, 4)}
    plain.load_state_dict(state)
    image = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(ours(image), plain(image))
    torch.testing.assert_close(merged(ours)(image), plain(image))


@pytest.mark.parametrize(("chosen", "changed"), [(True, {4}), (False, {1, 2}), (None, {1, 2, 4})])
def test_depthwise_convolutions_are_chosen_or_left(chosen, changed):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, where_depthwise=chosen)
    found = {
        groups
        for groups in (1, 2, 4)
        if isinstance(build_conv_layer(cfg, 4, 4, kernel_size=3, groups=groups), Dcls2d)
    }
    assert found == changed


def test_a_choice_that_is_none_is_refused():
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, where_depthwise="yes")
    with pytest.raises(ValueError, match="where_depthwise='yes'"):
        build_conv_layer(cfg, 4, 4, kernel_size=3)
