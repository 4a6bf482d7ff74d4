"""Networks of others, by the names that their packages give to convolutions.

A network is a row: how it is built, which of its convolutions a rule names, how many there are, in
how many groups they can share positions, and how many elements cost what its dense kernels did.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from helpers import networks
from mmdcls.dcls import Rule, convert, merged
from mmdcls.dcls.groups import position_groups
from mmdcls.dcls.inventory import inventory
from mmdcls.dcls.rules import convolutions_of
from mmdcls.registry import MODELS


def of_timm(name: str, **options) -> Callable[[], nn.Module]:
    return lambda: import_module("timm").create_model(name, **options)


def of(package: str, name: str, **options) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import_module(f"{package}.models")
        return MODELS.build(dict(type=f"{package}.{name}", **options))

    return build


class Row(NamedTuple):
    """neutral: of bilinear elements, positions shared by stage, before rounding; where convolutions
    of several sizes are named, each has its own, and None stands here."""

    build: Callable[[], nn.Module]
    where: str
    kernel_size: int
    convolutions: int
    groups: int
    neutral: float | None = None


# ResNets are thinner than they are out there, for their dense kernels are many.
NETWORKS = {
    "timm ResNet-50": Row(
        of_timm("resnet50", base_width=16), r"layer\d\.\d+\.conv2", 7, 16, 4, 5.8
    ),
    "timm ResNet-18": Row(
        of_timm("resnet18", channels=(16, 32, 64, 128)), r"layer\d\.\d\.conv[12]", 7, 16, 8
    ),
    "timm ConvNeXt-T": Row(of_timm("convnext_tiny"), r".*\.conv_dw", 17, 18, 4, 34.2),
    "timm ConvNeXt-T, maps": Row(
        of_timm("convnext_tiny", features_only=True), r"stages_\d\..*\.conv_dw", 17, 18, 4, 34.2
    ),
    "timm ConvFormer-S18": Row(of_timm("convformer_s18"), r".*\.dwconv", 17, 18, 4, 34.8),
    "timm CAFormer-S18": Row(of_timm("caformer_s18"), r".*\.dwconv", 17, 6, 2, 29.4),
    "timm FastViT-SA24": Row(
        of_timm("fastvit_sa24"), r".*\.(mlp\.conv\.conv|pos_enc)", 17, 25, 4, 37.7
    ),
    "timm InceptionNeXt-T": Row(of_timm("inception_next_tiny"), r".*\.dwconv_(hw|w|h)", 17, 54, 12),
    "timm MobileNetV2": Row(of_timm("mobilenetv2_100"), r".*\.conv_dw", 7, 17, 12, 3.9),
    "timm MambaOut-T": Row(
        of_timm("mambaout_tiny"), r"stages\.\d\.blocks\.\d+\.conv", 17, 18, 4, 34.7
    ),
    "mmseg ResNetV1c-50, dilated": Row(
        of(
            "mmseg",
            "ResNetV1c",
            depth=50,
            base_channels=16,
            dilations=(1, 1, 2, 4),
            strides=(1, 2, 1, 1),
        ),
        r"layer\d\.\d+\.conv2",
        7,
        16,
        4,
        5.8,
    ),
    "mmseg MobileNetV2": Row(
        of("mmseg", "MobileNetV2"), r"layer.*\.conv\.\d\.conv", 7, 17, 12, 3.9
    ),
    "mmseg MSCAN-T": Row(
        of("mmseg", "MSCAN", embed_dims=[32, 64, 160, 256], depths=[3, 3, 5, 2]),
        r"block\d\.\d\.attn\.spatial_gating_unit\.conv0",
        17,
        13,
        4,
        15.2,
    ),
    "mmseg MSCAN-T, strips": Row(
        of("mmseg", "MSCAN", embed_dims=[32, 64, 160, 256], depths=[3, 3, 5, 2]),
        r"block\d\.\d\.attn\.spatial_gating_unit\.conv\d_\d",
        31,
        78,
        24,
    ),
    "mmdet ResNet-50": Row(
        of("mmdet", "ResNet", depth=50, base_channels=16), r"layer\d\.\d+\.conv2", 7, 16, 4, 5.8
    ),
    "mmdet CSPNeXt": Row(of("mmdet", "CSPNeXt"), r".*\.depthwise_conv\.conv", 11, 18, 4, 16.9),
    "mmpretrain ConvNeXt-T": Row(
        of("mmpretrain", "ConvNeXt"), r"stages\.\d\.\d\.depthwise_conv", 17, 18, 4, 34.2
    ),
    "mmpretrain VAN-T, dilated": Row(
        of("mmpretrain", "VAN", arch="tiny"), r".*\.DW_D_conv", 19, 13, 4, 29.9
    ),
    "mmpretrain HorNet-T": Row(of("mmpretrain", "HorNet"), r".*\.gnconv\.dwconv", 17, 25, 4, 37.4),
}
each_network = pytest.mark.parametrize("row", NETWORKS.values(), ids=NETWORKS)


@pytest.fixture(autouse=True, scope="module")
def others() -> None:
    if not networks.FOLDER.is_dir():
        pytest.importorskip("timm")


@pytest.fixture(autouse=True)
def scope() -> None:
    init_default_scope("mmseg")


def outputs(network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    found = network(x)
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def draw(row: Row) -> nn.Module:
    """In eval, which some networks do not return; with norms and scales that leave a difference."""
    network = row.build()
    network.eval()
    for name, parameter in network.named_parameters():
        if "gamma" in name or "scale" in name:
            nn.init.ones_(parameter)
    return network


@each_network
def test_it_is_converted_without_a_value_and_has_the_groups_that_it_can(row):
    # Some are not made on this device, but go there.
    network = row.build().to("meta")
    lines = [line for line in inventory(network) if len(line.names) > 1]
    assert any(len(line.names) <= row.convolutions for line in lines)
    _, report = convert(network, dict(where=row.where, kernel_size=row.kernel_size))
    assert len(report.replaced) == row.convolutions
    assert len(report.groups) == row.groups == len(position_groups(network))
    counts = {replacement.kernel_count for replacement in report.replaced}
    if row.neutral is not None:
        (count,) = counts
        assert abs(count - row.neutral) <= 0.55
        growth = report.parameters_after / report.parameters_before
        assert growth == pytest.approx(1, abs=0.02)


OPTIONS = tuple(product(("bilinear", "gaussian"), ("stage", "layer")))


def test_the_page_tells_of_every_network_how_many_elements_are_neutral():
    page = (Path(__file__).parents[2] / "docs/which_kernel.md").read_text()
    lines = [line.strip("| \n").split(" | ") for line in page.splitlines()]
    table = {name: cells for name, *cells in lines if name in NETWORKS}
    assert set(table) == {name for name in NETWORKS if "maps" not in name}
    for name, (size, number, *counts) in table.items():
        row = NETWORKS[name]
        assert (int(size), int(number)) == (row.kernel_size, row.convolutions)
        for (interpolation, share), told in zip(OPTIONS, counts, strict=True):
            rule = Rule(row.where, row.kernel_size, interpolation=interpolation, share=share)
            _, report = convert(row.build().to("meta"), rule)
            found = dict.fromkeys(replacement.kernel_count for replacement in report.replaced)
            assert told == "/".join(map(str, found)), (name, interpolation, share)


@pytest.mark.slow
@each_network
def test_with_an_element_for_every_cell_it_computes_the_same(row):
    network, x = draw(row), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = outputs(network, x)
        rule = Rule(row.where, row.kernel_size)
        named = [conv for name, conv in convolutions_of(network).items() if rule.names(name)]
        cells = max(conv.weight[0, 0].numel() for conv in named)
        convert(network, replace(rule, kernel_count=cells))
        scale = max(value.abs().max() for value in wanted)
        for model in (network, merged(network)):
            for found, value in zip(outputs(model, x), wanted, strict=True):
                assert (found - value).abs().max() <= 1e-5 * scale
