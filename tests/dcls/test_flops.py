"""torch's counter sees our operators, and counts what the framework's own would cost."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mmdcls.dcls import Dcls2d
from mmdcls.dcls.conv.operators import KERNEL_GRADIENT, VALUES
from mmdcls.dcls.kernel_formula import kernel_by_formula

# Of a convolution: map, kernel, stride and padding.
CALLS = [
    ((2, 6, 24, 20), (17, 17), 1, 8),
    ((1, 4, 9, 9), (3, 5), 1, 0),
    ((1, 3, 21, 16), (7, 7), 2, 3),
    ((2, 3, 5, 9, 8), (3, 5, 5), 1, 2),
    ((1, 3, 6, 9, 8), (4, 3, 5), 2, 1),
]
FRAMEWORK = {2: F.conv2d, 3: F.conv3d}


def counted(*steps) -> list[int]:
    """FLOPs of each step, which gets what the one before it returned."""
    counts, value = [], None
    for step in steps:
        with FlopCounterMode(display=False) as counter:
            value = step(value)
        counts.append(counter.get_total_flops())
    return counts


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), CALLS)
def test_the_depthwise_operator_counts_as_the_frameworks_convolution(shape, size, stride, padding):
    x, kernel, axes = torch.randn(shape), torch.randn(shape[1], 1, *size), len(size)
    strides, paddings = [stride] * axes, [padding] * axes
    ours, plain = counted(
        lambda _: VALUES[x.dim()](x, kernel, None, strides, paddings),
        lambda _: FRAMEWORK[axes](x, kernel, None, stride, padding, groups=shape[1]),
    )
    assert ours == plain > 0


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), CALLS)
def test_the_gradient_of_the_kernel_costs_what_the_values_at_stride_1_cost(
    shape, size, stride, padding
):
    x, kernel, axes = torch.randn(shape), torch.randn(shape[1], 1, *size), len(size)
    values, gradient = counted(
        lambda _: FRAMEWORK[axes](x, kernel, padding=padding, groups=shape[1]),
        lambda grad: KERNEL_GRADIENT[x.dim()](grad, x, list(size), [padding] * axes),
    )
    assert gradient == values


@pytest.mark.parametrize("stage", ["values", "gradients"])
def test_a_layer_costs_its_convolution_and_its_construction(stage):
    """Construction: one product of matrices, 34 elements to 17 x 17 cells for each channel."""
    layer = Dcls2d(32, 32, 17, padding=8, groups=32, kernel_count=34)
    x = torch.randn(1, 32, 24, 24, requires_grad=True)
    values, gradients = counted(lambda _: layer(x), lambda y: y.sum().backward())
    one = 2 * 32 * 24 * 24 * 17 * 17 + 2 * 32 * 34 * 17 * 17
    assert dict(values=values, gradients=gradients)[stage] == one * (1 if stage == "values" else 2)


def test_construction_on_gpus_counts_as_the_formula_does():
    """On meta tensors: the operators themselves run on GPUs only."""

    def source(*shape: int) -> Tensor:
        return torch.zeros(shape, device="meta", requires_grad=True)

    sources = source(6, 1, 5), source(6, 1, 5, 7), source(6, 1, 5, 9)
    weight, *shares = sources
    formula = counted(lambda _: kernel_by_formula(weight, shares), lambda y: y.sum().backward())
    operator = counted(
        lambda _: torch.ops.mmdcls.kernel_from_shares(*sources), lambda y: y.sum().backward()
    )
    assert operator == formula
