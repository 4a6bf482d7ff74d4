"""What networks cost, against counts by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmdcls.analysis.counting import costs_of, multiply_adds, parameters
from mmdcls.dcls import Dcls2d


def test_multiply_adds_by_hand():
    net = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 8, 7, padding=3, groups=8))
    assert multiply_adds(net, (3, 16, 16)) == 16 * 8 * 3 * 16 + 16 * 8 * 49


@pytest.mark.parametrize(("trim", "cells"), [(True, 9), (False, 17 * 17)])
def test_multiply_adds_of_dcls_are_those_of_the_kernel_that_its_elements_reach(trim, cells):
    layer = Dcls2d(4, 4, 17, padding=8, groups=4, kernel_count=2)
    with torch.no_grad():
        layer.positions.fill_(0.25)
    assert multiply_adds(layer, (4, 10, 10), trim) == 100 * 4 * cells


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 5)
    assert parameters(nn.Sequential(layer, layer)) == 20


# A module, the shape that it takes, and what tables add to its multiply-adds.
CELL_BY_CELL = {
    "bias": (nn.Conv2d(3, 4, 1), (1, 3, 5, 5), 4 * 25),
    "no bias": (nn.Conv2d(3, 4, 1, bias=False), (1, 3, 5, 5), 0),
    "transposed": (nn.ConvTranspose2d(3, 4, 2, stride=2), (1, 3, 5, 5), 4 * 100),
    "batch norm": (nn.BatchNorm2d(3), (1, 3, 5, 5), 2 * 75),
    "norm without an affine part": (nn.BatchNorm2d(3, affine=False), (1, 3, 5, 5), 75),
    "group norm": (nn.GroupNorm(1, 3), (1, 3, 5, 5), 2 * 75),
    "relu": (nn.ReLU(), (1, 3, 5, 5), 75),
    "pooling": (nn.AdaptiveAvgPool2d(1), (1, 3, 5, 5), 75),
    "layer norm": (nn.LayerNorm(5), (1, 3, 5, 5), 0),
    "gelu": (nn.GELU(), (1, 3, 5, 5), 0),
    "bias of a linear layer": (nn.Linear(5, 7), (1, 5), 0),
}


@pytest.mark.parametrize("name", CELL_BY_CELL)
def test_what_tables_add(name):
    module, shape, expected = CELL_BY_CELL[name]
    with costs_of({"net": nn.Sequential(module).eval()}) as costs:
        module(torch.zeros(shape))
    assert costs["net"].cell_by_cell == expected


def test_parts_add_up_to_the_whole_over_all_their_calls():
    heads = nn.ModuleList([nn.Conv2d(4, 2, 3), nn.Conv2d(4, 5, 3)])
    net = nn.ModuleDict(dict(body=nn.Conv2d(3, 4, 1), heads=heads, idle=nn.ReLU()))
    with FlopCounterMode(display=False) as counter, costs_of(net) as costs:
        y = net["body"](torch.zeros(1, 3, 8, 8))
        for head in (*heads, heads[1]):
            head(y)
    assert costs["body"].multiply_adds == 64 * 12
    assert costs["heads"].multiply_adds == 36 * 36 * (2 + 5 + 5)
    assert counter.get_total_flops() == 2 * (64 * 12 + 36 * 36 * 12)
    assert [cost.has_run for cost in costs.values()] == [True, True, False]
