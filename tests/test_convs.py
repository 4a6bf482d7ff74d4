"""DCLS layers as conv_cfg of mmcv and mmdet."""

import pytest
import torch
from mmcv.cnn import ConvModule, build_conv_layer
from mmengine.registry import MODELS
from torch import nn

from mmdcls.dcls import Dcls1d, Dcls2d, Dcls3d

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


@pytest.mark.parametrize("padding, expected", [(0, (2, 2)), ((1, 2), (3, 4)), ("same", "same")])
def test_the_padding_follows_the_kernel_size(padding, expected):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, where_kernel_size=3, dcls_kernel_size=7)
    assert build_conv_layer(cfg, 4, 6, kernel_size=3, padding=padding).padding == expected


@pytest.mark.parametrize("size", [1, 4, 2.5, "7"])
def test_a_size_the_padding_cannot_follow_is_refused(size):
    cfg = dict(type="mmdcls.Dcls2d", kernel_count=3, dcls_kernel_size=size)
    with pytest.raises(ValueError, match="dcls_kernel_size") as error:
        build_conv_layer(cfg, 4, 6, kernel_size=3, padding=1)
    assert repr(size) in str(error.value)
