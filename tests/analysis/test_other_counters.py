"""Counters that trace see the framework's convolution, since our operators step aside there."""

import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from torch import nn

from mmdcls.analysis.counting import multiply_adds
from mmdcls.dcls import Dcls2d, merged

SHAPE = (8, 12, 10)


@pytest.fixture
def layer() -> nn.Module:
    return layer_of(padding=4)


def layer_of(padding: int | str, kernel_size: int | tuple[int, int] = 9) -> nn.Module:
    return Dcls2d(8, 8, kernel_size, padding=padding, groups=8, kernel_count=5)


def flops_by_mmengine(module: nn.Module) -> int:
    found = get_model_complexity_info(module, SHAPE, show_table=False, show_arch=False)
    return int(found["flops"])


def test_mmengine_counts_a_merged_layer_as_we_do(layer):
    assert flops_by_mmengine(merged(layer)) == multiply_adds(layer, SHAPE)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_so_it_does_where_padding_has_a_name(padding):
    layer = layer_of(padding, (9, 5))
    assert flops_by_mmengine(merged(layer)) == multiply_adds(layer, SHAPE) > 0


def test_mmengine_sees_the_convolution_of_a_layer_and_the_product_that_builds_it(layer):
    expected = 8 * 12 * 10 * 9 * 9 + 8 * 5 * 9 * 9
    with torch.no_grad():
        assert flops_by_mmengine(layer) == expected
