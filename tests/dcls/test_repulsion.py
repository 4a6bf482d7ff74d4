"""The term that keeps elements apart, against a slow loop, and where elements coincide."""

from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from helpers.cases import LAYERS, autocast
from mmdcls.dcls import clamp_positions_, position_owners, repulsion

SHAPES = [(1, 2, 1, 4), (2, 3, 2, 5), (3, 2, 1, 3), (4, 1, 1, 2)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def slow_repulsion(positions: Tensor) -> Tensor:
    slices = positions.flatten(1, -2).permute(1, 2, 0)
    terms = [
        max(0.0, 1 - float((a - b).square().sum()) ** 0.5)
        for elements in slices
        for a, b in combinations(elements, 2)
    ]
    return torch.tensor(sum(terms) / len(terms), dtype=positions.dtype)


def points(*places: tuple[float, ...]) -> Tensor:
    """Elements of a single slice: (axes, 1, 1, kernel_count)."""
    return torch.tensor(places, dtype=torch.double).T[:, None, None]


def test_one_of_three_pairs_at_half_a_cell_gives_a_sixth():
    found = repulsion(points((0, 0), (0.5, 0), (3, 0)))
    torch.testing.assert_close(found, torch.tensor(1 / 6, dtype=torch.double))


@each_shape
@pytest.mark.parametrize("spread", [0.2, 0.5, 2.0])
def test_it_is_what_a_loop_over_pairs_gives(shape, spread):
    positions = spread * torch.randn(shape, dtype=torch.double)
    torch.testing.assert_close(repulsion(positions), slow_repulsion(positions))


@each_shape
def test_its_gradient_is_the_slope(shape):
    # Random elements neither coincide nor stand exactly a cell apart.
    positions = (0.5 * torch.randn(shape, dtype=torch.double)).requires_grad_()
    assert torch.autograd.gradcheck(repulsion, positions)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_single_element_is_not_repelled(axes):
    positions = torch.zeros(axes, 4, 1, 1, requires_grad=True)
    repulsion(positions).backward()
    assert repulsion(positions) == 0 and (positions.grad == 0).all()


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_elements_that_coincide_are_separated_without_drift(axes, count):
    positions = torch.full((axes, 2, 1, count), 0.3, dtype=torch.double, requires_grad=True)
    middle = positions.detach().mean(-1)
    for _ in range(400):
        value = repulsion(positions)
        (gradient,) = torch.autograd.grad(value, positions)
        positions.data.sub_(0.5 * gradient)
    elements = positions.detach()[:, :, 0].permute(1, 2, 0)
    distances = torch.cdist(elements, elements)
    distances.diagonal(dim1=-2, dim2=-1).fill_(9)
    assert distances.min() > 0.5
    torch.testing.assert_close(positions.detach().mean(-1), middle)


@pytest.mark.parametrize("size", [(9,), (1, 9), (5, 5), (3, 1, 5)], ids=str)
@pytest.mark.parametrize("side", [0, -1])
def test_elements_that_coincide_in_a_corner_are_separated_although_clamped(size, side):
    corner = [99.0 if side else -99.0] * len(size)
    positions = clamp_positions_(points(corner, corner), size).requires_grad_()
    for _ in range(400):
        (gradient,) = torch.autograd.grad(repulsion(positions), positions)
        positions.data.sub_(0.05 * gradient)
        clamp_positions_(positions, size)
    assert repulsion(positions) < 1e-6


def test_near_zero_distances_have_finite_gradients():
    for distance in (1e-45, 1e-30, 1e-20, 1e-8):
        positions = torch.tensor([[0.0, distance], [0.0, 0.0]])[:, None, None].requires_grad_()
        repulsion(positions).backward()
        assert positions.grad.isfinite().all() and (positions.grad[0] != 0).all()
        torch.testing.assert_close(positions.grad.norm(dim=0), torch.ones(1, 1, 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_positions_and_autocast_are_computed_in_float32(dtype):
    positions = torch.randn(2, 4, 1, 5)
    with autocast(torch.bfloat16):
        assert torch.equal(repulsion(positions), repulsion(positions.clone()))
        inside = repulsion(positions)
    assert torch.equal(inside, repulsion(positions))
    half = positions.to(dtype)
    assert torch.equal(repulsion(half), repulsion(half.float()))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_owners_are_the_modules_with_positions_of_their_own(axes):
    layer, shared = (
        LAYERS[axes](4, 4, 3, kernel_count=2, share_positions=share) for share in (False, True)
    )
    model = nn.ModuleDict(dict(layer=layer, shared=shared, again=layer, other=nn.Linear(2, 2)))
    assert position_owners(model) == {"layer": layer}
