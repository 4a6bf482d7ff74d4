"""The slow truth against kernels and slopes worked out by hand."""

from math import log, sqrt

import pytest
import torch

from helpers.cases import draw_elements
from mmdcls.dcls import INTERPOLATIONS, construct_kernel, reference

# The width at which a Gaussian has fallen to one half after one cell, to 1/16 after two.
HALF = 1 / sqrt(2 * log(2))

# interpolation, kernel size, weights, positions per axis, widths per axis, kernel
BY_HAND = {
    "on the centre of an odd axis": ("bilinear", (5,), [2], [[0]], None, [0, 0, 2, 0, 0]),
    "on the centre of an even axis": ("bilinear", (4,), [2], [[0]], None, [0, 0, 2, 0]),
    "between two cells": ("bilinear", (5,), [2], [[0.25]], None, [0, 0, 1.5, 0.5, 0]),
    "left of the centre": ("bilinear", (5,), [2], [[-1.5]], None, [1, 1, 0, 0, 0]),
    "on the lower border": ("bilinear", (5,), [2], [[-2]], None, [2, 0, 0, 0, 0]),
    "on the upper border": ("bilinear", (5,), [2], [[2]], None, [0, 0, 0, 0, 2]),
    "on the upper border of an even axis": ("bilinear", (4,), [2], [[1]], None, [0, 0, 0, 2]),
    "outside, as at the border": ("bilinear", (5,), [2], [[9]], None, [0, 0, 0, 0, 2]),
    "two elements add up": ("bilinear", (3,), [2, -1], [[0.5, 0]], None, [0, 0, 1]),
    "a single cell": ("bilinear", (1,), [2], [[0.3]], None, [2]),
    "row 0 is height": (
        "bilinear",
        (2, 3),
        [1],
        [[-1], [1]],
        None,
        [[0, 0, 1], [0, 0, 0]],
    ),
    "between four cells": (
        "bilinear",
        (2, 3),
        [8],
        [[-0.5], [0.25]],
        None,
        [[0, 3, 1], [0, 3, 1]],
    ),
    "three axes": (
        "bilinear",
        (2, 1, 3),
        [4],
        [[-0.75], [0], [0.5]],
        None,
        [[[0, 1.5, 1.5]], [[0, 0.5, 0.5]]],
    ),
    "normalised, nothing is lost": (
        "bilinear_normalized",
        (5,),
        [2],
        [[0.25]],
        None,
        [0, 0, 1.5, 0.5, 0],
    ),
    "triangle of width 1": ("triangle", (3,), [4], [[0.25]], [[1]], [0, 3, 1]),
    "triangle of width 2": ("triangle", (5,), [4], [[0]], [[2]], [0, 1, 2, 1, 0]),
    "triangle cut by the border": ("triangle", (5,), [3], [[-2]], [[2]], [2, 1, 0, 0, 0]),
    "triangle with a width per axis": (
        "triangle",
        (3, 3),
        [4],
        [[0], [0]],
        [[1], [2]],
        [[0, 0, 0], [1, 2, 1], [0, 0, 0]],
    ),
    "gaussian": ("gaussian", (3,), [4], [[0]], [[HALF]], [1, 2, 1]),
    "gaussian cut by the border": ("gaussian", (3,), [25], [[-1]], [[HALF]], [16, 8, 1]),
    "gaussian between two cells": ("gaussian", (2,), [4], [[-0.5]], [[HALF]], [2, 2]),
    "gaussian on two axes": (
        "gaussian",
        (1, 3),
        [4],
        [[0], [0]],
        [[1], [HALF]],
        [[1, 2, 1]],
    ),
}
IMPLEMENTATIONS = {"reference": reference.construct_kernel, "fast": construct_kernel}
each_implementation = pytest.mark.parametrize(
    "construct", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)


def tensor(values: list) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.double)


def test_there_are_interpolations_and_each_is_worked_out_by_hand():
    assert INTERPOLATIONS
    assert {row[0] for row in BY_HAND.values()} == set(INTERPOLATIONS)


@each_implementation
@pytest.mark.parametrize("sign", [1, -1], ids=["sigma", "minus sigma"])
@pytest.mark.parametrize("case", BY_HAND)
def test_kernel_is_the_one_worked_out_by_hand(construct, case, sign):
    interpolation, size, weight, positions, width, kernel = BY_HAND[case]
    sigma = None
    if width is not None:
        sigma = sign * (tensor(width) - INTERPOLATIONS[interpolation].width_floor)[:, None, None]
    built = construct(
        tensor(weight)[None, None], tensor(positions)[:, None, None], sigma, size, interpolation
    )
    torch.testing.assert_close(built, tensor(kernel)[None, None], rtol=0, atol=2e-6)


# position, slope of each cell of a kernel of 3 cells with weight 2
SLOPES = {
    "between two cells": (0.25, [0, -2, 2]),
    "on a cell, the slope to its right": (0, [0, -2, 2]),
    "on the lower border, the slope inside": (-1, [-2, 2, 0]),
    "on the upper border, the slope inside": (1, [0, -2, 2]),
    "below the kernel, the slope at the border": (-7, [-2, 2, 0]),
    "above the kernel, the slope at the border": (7, [0, -2, 2]),
}


@each_implementation
@pytest.mark.parametrize("case", SLOPES)
def test_slope_of_the_bilinear_interpolation_is_the_one_worked_out_by_hand(construct, case):
    position, slopes = SLOPES[case]

    def kernel(offset: torch.Tensor) -> torch.Tensor:
        return construct(
            tensor([[[2]]]), offset.reshape(1, 1, 1, 1), None, (3,), "bilinear"
        ).flatten()

    slope = torch.autograd.functional.jacobian(kernel, tensor([position]))
    torch.testing.assert_close(slope.flatten(), tensor(slopes))


@each_implementation
@pytest.mark.parametrize("size", [(5,), (1, 4), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_infinitely_far_counts_as_the_border(construct, interpolation, size):
    weight, positions, sigma = draw_elements(size, interpolation)
    for sign in (-1, 1):
        far = torch.full_like(positions, sign * 1e6)
        infinite = torch.full_like(positions, sign * torch.inf).requires_grad_()
        kernel = construct(weight, infinite, sigma, size, interpolation)
        torch.testing.assert_close(kernel, construct(weight, far, sigma, size, interpolation))
        sources = [source for source in (weight, infinite, sigma) if source is not None]
        for gradient in torch.autograd.grad(kernel.square().sum(), sources):
            assert gradient.isfinite().all()


@each_implementation
@pytest.mark.parametrize("size", [(5,), (1, 4), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_one_position_that_is_nan_makes_its_kernel_nan_and_no_other(construct, interpolation, size):
    weight, positions, sigma = draw_elements(size, interpolation)
    for row in range(len(size)):
        spoilt = positions.detach().clone()
        spoilt[row, 0, 0, 1] = torch.nan
        kernel = construct(weight, spoilt.requires_grad_(), sigma, size, interpolation)
        assert kernel[0].isnan().all() and not kernel[1].isnan().any()
        kernel.sum().backward()


@each_implementation
@pytest.mark.parametrize("size", [(5,), (4,), (4, 3), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_gradients_are_the_numerical_ones_away_from_kinks(construct, interpolation, size):
    weight, positions, sigma = draw_elements(size, interpolation, shape=(1, 1, 2))
    # Every cell is then at least 0.2 away from where a triangle ends.
    positions = (positions.detach().floor() + 0.4).requires_grad_()
    if sigma is not None:
        sigma = sigma.detach().sign().mul(0.15).requires_grad_()

    def kernel(weight, positions, sigma):
        return construct(weight, positions, sigma, size, interpolation)

    assert torch.autograd.gradcheck(kernel, (weight, positions, sigma))


def test_reference_refuses_an_interpolation_it_does_not_know():
    weight, positions, _ = draw_elements((3,), "bilinear")
    with pytest.raises(ValueError, match="'cubic' is unknown"):
        reference.construct_kernel(weight, positions, None, (3,), "cubic")
