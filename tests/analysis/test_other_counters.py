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
    return Dcls2d(8, 8, 9, padding=4, groups=8, kernel_count=5)


def flops_by_mmengine(module: nn.Module) -> int:
    found = get_model_complexity_info(module, SHAPE, show_table=False, show_arch=False)
    return int(found["flops"])


def test_mmengine_counts_a_merged_layer_as_we_do(layer):
    assert flops_by_mmengine(merged(layer)) == multiply_adds(layer, SHAPE)


def test_mmengine_sees_the_convolution_of_a_layer_and_the_product_that_builds_it(layer):
    expected = 8 * 12 * 10 * 9 * 9 + 8 * 5 * 9 * 9
    with torch.no_grad():
        assert flops_by_mmengine(layer) == expected
