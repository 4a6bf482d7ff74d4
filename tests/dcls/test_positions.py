"""Positions can always move, and come back from outside; sigma learns from the first step."""

import pytest
import torch

from helpers.cases import LAYERS, draw_elements, draw_layer
from mmdcls.dcls import (
    INTERPOLATIONS,
    ElementPositions,
    clamp_positions_,
    construct_kernel,
    position_limits,
)

each_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)
SIDES = pytest.mark.parametrize("side", [0, 1], ids=["below", "above"])


def initial_sigma(interpolation: str, like: torch.Tensor) -> torch.Tensor | None:
    rule = INTERPOLATIONS[interpolation]
    return torch.full_like(like, rule.initial_sigma) if rule.has_sigma else None


@pytest.mark.parametrize("size", [(5,), (4,), (5, 4), (3, 4, 2)], ids=str)
@SIDES
@each_interpolation
def test_an_element_outside_has_the_kernel_and_the_gradients_of_one_at_the_border(
    interpolation, side, size
):
    weight, positions, sigma = draw_elements(size, interpolation)
    border = torch.stack(
        [torch.full_like(positions[0], position_limits(cells)[side]) for cells in size]
    )
    results = []
    for distance in (0, 0.4, 1, 3.7, 1e4):
        offset = (border + (distance if side else -distance)).detach().requires_grad_()
        kernel = construct_kernel(weight, offset, sigma, size, interpolation)
        generator = torch.Generator(torch.get_default_device()).manual_seed(1)
        loss = kernel.mul(torch.rand(kernel.shape, generator=generator)).sum()
        sources = [weight, offset] if sigma is None else [weight, offset, sigma]
        results.append((kernel, *torch.autograd.grad(loss, sources)))
    assert all(gradient.abs().min() > 0 for gradient in results[0][2:3])
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


@pytest.mark.parametrize("size", [(7,), (6,), (7, 6), (5, 4, 3)], ids=str)
@SIDES
@each_interpolation
def test_an_element_outside_comes_back_by_gradient_descent(interpolation, side, size):
    limits = torch.tensor([position_limits(cells)[side] for cells in size]).double()
    limits = limits[:, None, None, None]
    inwards = -1 if side else 1
    target = limits + 0.7 * inwards
    positions = (limits - 2 * inwards).requires_grad_()
    weight = torch.ones(1, 1, 1, dtype=torch.double)
    sigma = initial_sigma(interpolation, positions)
    wanted = construct_kernel(weight, target, sigma, size, interpolation)
    descent = torch.optim.SGD([positions], lr=0.1)
    for _ in range(100):
        descent.zero_grad()
        kernel = construct_kernel(weight, positions, sigma, size, interpolation)
        (kernel - wanted).square().sum().backward()
        descent.step()
    torch.testing.assert_close(positions.detach(), target, rtol=0, atol=0.05)


@pytest.mark.parametrize("size", [2, 5, 6])
@each_interpolation
def test_a_position_on_the_grid_keeps_a_useful_gradient(interpolation, size):
    low, high = position_limits(size)

    def kernel(offset: torch.Tensor) -> torch.Tensor:
        positions = offset.reshape(1, 1, 1, 1)
        sigma = initial_sigma(interpolation, positions)
        weight = torch.ones(1, 1, 1, dtype=torch.double)
        return construct_kernel(weight, positions, sigma, (size,), interpolation).flatten()

    for offset in range(low, high + 1):
        slope = torch.autograd.functional.jacobian(kernel, torch.tensor(float(offset)).double())
        cell = offset - low
        # To move up gives to the cell above and takes from the cell below, or from its own.
        assert slope[min(cell + 1, size - 1)] > 0.01
        assert slope[max(cell - 1, 0)] < -0.01 or slope[cell] < -0.01
        if cell == 0:
            assert slope[0] < -0.01 < 0.01 < slope[1]
        if cell == size - 1:
            assert slope[-2] < -0.01 < 0.01 < slope[-1]


@pytest.mark.parametrize("axes", [1, 2, 3])
@each_interpolation
def test_every_parameter_of_a_new_layer_gets_a_gradient_and_moves_in_the_first_step(
    interpolation, axes
):
    layer = LAYERS[axes](4, 6, 5, groups=2, kernel_count=3, interpolation=interpolation)
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    layer(torch.randn(2, 4, *(9,) * axes)).square().sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    assert ("sigma" in before) == INTERPOLATIONS[interpolation].has_sigma
    for name, parameter in layer.named_parameters():
        assert (parameter.grad != 0).all(), name
        assert (parameter != before[name]).all(), name


@pytest.mark.parametrize("axes", [1, 2, 3])
@each_interpolation
def test_elements_on_the_grid_with_a_new_sigma_all_get_a_gradient(interpolation, axes):
    layer = draw_layer(axes, "on the grid", kernel_size=4, interpolation=interpolation)
    if layer.sigma is not None:
        layer.sigma.data.fill_(INTERPOLATIONS[interpolation].initial_sigma)
    layer(torch.randn(2, 4, *(9,) * axes).double()).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert (parameter.grad != 0).all(), name


@pytest.mark.parametrize("interpolation", [k for k, v in INTERPOLATIONS.items() if v.has_sigma])
@pytest.mark.parametrize("start", [0.0, 0.2, -0.2])
def test_a_width_is_learned(interpolation, start):
    weight, positions, sigma = draw_elements((9,), interpolation, shape=(1, 1, 1))
    positions = torch.full_like(positions, 0.3)
    wanted = construct_kernel(weight, positions, torch.full_like(sigma, 0.9), (9,), interpolation)
    wanted = wanted.detach()
    sigma = torch.full_like(sigma, start).requires_grad_()
    descent = torch.optim.Adam([sigma], lr=0.05)
    for _ in range(100):
        descent.zero_grad()
        kernel = construct_kernel(weight, positions, sigma, (9,), interpolation)
        (kernel - wanted).square().sum().backward()
        descent.step()
    torch.testing.assert_close(sigma.detach().abs(), torch.full_like(sigma, 0.9), rtol=0, atol=0.02)


@pytest.mark.parametrize("size", [(1,), (4,), (5, 4), (3, 4, 2)], ids=str)
def test_clamping_puts_elements_on_the_border_and_leaves_the_kernel_as_it_is(size):
    for interpolation in INTERPOLATIONS:
        weight, positions, sigma = draw_elements(size, interpolation, "outside")
        kernel = construct_kernel(weight, positions, sigma, size, interpolation)
        positions = positions.detach()
        assert clamp_positions_(positions, size) is positions
        for row, cells in zip(positions, size, strict=True):
            low, high = position_limits(cells)
            assert low <= row.min() and row.max() <= high
        torch.testing.assert_close(
            construct_kernel(weight, positions, sigma, size, interpolation), kernel
        )


def test_clamping_leaves_elements_inside_where_they_are():
    positions = draw_elements((5, 4), "bilinear").positions.detach()
    torch.testing.assert_close(clamp_positions_(positions.clone(), (5, 4)), positions)


@pytest.mark.parametrize("axes", [1, 2, 3])
@each_interpolation
def test_a_layer_clamps_its_own_positions(interpolation, axes):
    layer = draw_layer(axes, "outside", kernel_size=4, interpolation=interpolation)
    layer.clamp_positions_()
    assert layer.positions.min() >= -2 and layer.positions.max() <= 1
    assert layer.positions.requires_grad and layer.positions.is_leaf


@each_interpolation
def test_positions_start_close_to_the_centre_and_sigma_at_its_initial_value(interpolation):
    owner = ElementPositions((17, 2), interpolation, (64, 1, 64))
    assert abs(owner.positions[0].mean()) < 0.05
    assert abs(owner.positions[0].std() - 0.5) < 0.05
    assert owner.positions[1].min() == -1 and owner.positions[1].max() == 0
    if owner.sigma is not None:
        assert (owner.sigma == INTERPOLATIONS[interpolation].initial_sigma).all()


@each_interpolation
def test_resetting_draws_positions_anew(interpolation):
    layer = draw_layer(2, "outside", interpolation=interpolation)
    layer.reset_parameters()
    assert layer.positions.abs().max() <= 2
    if layer.sigma is not None:
        assert (layer.sigma == INTERPOLATIONS[interpolation].initial_sigma).all()


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("place", ["off the grid", "outside"])
@each_interpolation
def test_on_cells_the_kernel_is_that_of_rounded_positions_of_the_narrowest_width(
    interpolation, place, axes
):
    layer = draw_layer(axes, place, kernel_size=4, interpolation=interpolation).eval()
    x = torch.randn(1, 4, *(9,) * axes).double()
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    with torch.no_grad():
        before = layer(x)
        layer.on_cells = True
        rounded = layer.positions.round()
        unit = construct_kernel(
            layer.weight, rounded, torch.zeros_like(rounded), layer.kernel_size, "triangle"
        )
        torch.testing.assert_close(layer.kernel(), unit, rtol=1e-6, atol=0)
        # Outside elements stand on the border, which bilinear interpolation sees as a cell.
        if place == "off the grid":
            assert not torch.equal(layer(x), before)
        torch.testing.assert_close(layer(x), layer.to_conv()(x))
        layer.on_cells = False
        assert torch.equal(layer(x), before)
    for name, value in layer.state_dict().items():
        assert torch.equal(value, state[name]), name
