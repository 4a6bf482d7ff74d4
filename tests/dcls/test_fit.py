"""DCLS layers that start from dense convolutions."""

from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from mmdcls.dcls import INTERPOLATIONS, Dcls1d, Dcls2d, Dcls3d
from mmdcls.dcls.fit import fit_elements

LAYERS = {1: (nn.Conv1d, Dcls1d), 2: (nn.Conv2d, Dcls2d), 3: (nn.Conv3d, Dcls3d)}
# The narrowest Gaussian, of width 0.27, gives exp(-0.5 / 0.27**2) = 0.1 % to each neighbour.
EXACT = [name for name in INTERPOLATIONS if name != "gaussian"]
VARIANTS = [
    dict(padding=1),
    dict(padding=1, groups=4, bias=False),
    dict(padding=2, stride=2),
    dict(padding="same"),
    dict(padding="valid"),
    dict(padding=2, dilation=2),
    dict(padding=1, padding_mode="circular"),
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("axes", LAYERS)
@pytest.mark.parametrize("interpolation", EXACT)
def test_with_an_element_for_every_cell_the_output_is_the_dense_one(interpolation, axes, options):
    dense, layer = LAYERS[axes]
    conv = dense(4, 8, 3, **options)
    made = layer.from_conv(conv, kernel_size=7, kernel_count=3**axes, interpolation=interpolation)
    x = torch.randn(2, 4, *(8,) * axes)
    torch.testing.assert_close(made(x), conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_elements_beyond_the_cells_change_nothing_and_learn(interpolation):
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    made = Dcls2d.from_conv(conv, 7, 12, interpolation)
    enough = Dcls2d.from_conv(conv, 7, 9, interpolation)
    torch.testing.assert_close(made.kernel(), enough.kernel())
    made(torch.randn(1, 4, 9, 9)).square().sum().backward()
    assert (made.weight.grad != 0).all()


def test_the_gaussian_comes_within_a_fifth_of_a_percent():
    conv = nn.Conv2d(16, 16, 7, padding=3, groups=16)
    made = Dcls2d.from_conv(conv, 17, 49, "gaussian")
    target = torch.zeros(16, 1, 17, 17)
    target[..., 5:12, 5:12] = conv.weight.detach()
    assert (made.kernel() - target).norm() < 2e-3 * target.norm()


@pytest.mark.parametrize("count", [1, 4, 8])
def test_no_other_cells_come_closer(count):
    kernels = torch.randn(3, 1, 1, 3, 3, dtype=torch.double)
    fit = fit_elements(kernels, (5, 5), count, "bilinear")
    cells = kernels.flatten(1)
    best = min(
        (cells.square().sum() - cells[:, list(kept)].square().sum()).sqrt().item()
        for kept in combinations(range(9), count)
    )
    assert fit.residual == pytest.approx(best)
    assert fit.norm == pytest.approx(kernels.norm().item())


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_weights_are_those_of_least_squares(interpolation):
    """The error of every kernel is orthogonal to every element."""
    conv = nn.Conv2d(6, 6, 5, padding=2, groups=6).double()
    layer = Dcls2d.from_conv(conv, 9, 7, interpolation)
    target = torch.zeros(6, 1, 9, 9, dtype=torch.double)
    target[..., 2:7, 2:7] = conv.weight.detach()
    (layer.kernel() - target).square().sum().backward()
    assert layer.weight.grad.abs().max() < 1e-12


def test_kernels_that_share_positions_have_their_own_weights():
    kernels = torch.randn(2, 4, 1, 3, 3)
    fit = fit_elements(kernels, (7, 7), 9, "bilinear")
    assert fit.positions.shape == (2, 4, 1, 9) and fit.weights.shape == (2, 4, 1, 9)
    assert fit.residual < 1e-6 * fit.norm


@pytest.mark.parametrize("size", [3, 6], ids=["smaller", "even"])
def test_a_kernel_that_does_not_fit_is_refused(size):
    with pytest.raises(ValueError, match=r"kernel_size=\(\d, \d\) must be at least \(5, 5\)"):
        Dcls2d.from_conv(nn.Conv2d(4, 4, 5), kernel_size=size, kernel_count=3)


def test_other_layers_are_refused():
    with pytest.raises(ValueError, match="takes an nn.Conv2d, got ConvTranspose2d"):
        Dcls2d.from_conv(nn.ConvTranspose2d(4, 4, 3), kernel_size=5, kernel_count=3)
    with pytest.raises(ValueError, match="kernel_count=0"):
        Dcls2d.from_conv(nn.Conv2d(4, 4, 3), kernel_size=5, kernel_count=0)


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


class Same(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def test_a_convolution_that_computes_more_is_refused_and_no_other():
    for padding in (0, 2, "same"):
        Dcls2d.from_conv(Same(4, 4, 3, padding=padding), kernel_size=5, kernel_count=9)
    with pytest.raises(ValueError, match="Standardised computes something else with its weight"):
        Dcls2d.from_conv(Standardised(4, 4, 3), kernel_size=5, kernel_count=9)


def test_a_weight_that_is_not_finite_is_refused():
    conv = nn.Conv2d(4, 4, 3)
    nn.init.constant_(conv.weight[1:2], float("nan"))
    with pytest.raises(ValueError, match="NaN or infinity"):
        Dcls2d.from_conv(conv, kernel_size=5, kernel_count=9)


def test_a_frozen_weight_stays_frozen():
    conv = nn.Conv2d(4, 4, 3).requires_grad_(False)
    assert not Dcls2d.from_conv(conv, kernel_size=5, kernel_count=9).weight.requires_grad


def test_the_layer_has_the_dtype_and_the_mode_of_the_convolution():
    conv = nn.Conv2d(4, 4, 3).double().eval()
    layer = Dcls2d.from_conv(conv, kernel_size=5, kernel_count=9)
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.double}
    assert not layer.training
