"""construct_kernel answers to the reference, in values, gradients and precision; its memory law."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.cases import (
    PLACES,
    SIZES,
    Elements,
    LargestTensor,
    assert_same_values_and_gradients,
    draw_elements,
)
from mmdcls.dcls import INTERPOLATIONS, construct_kernel, position_limits, reference

each_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)


def assert_same_as_reference(elements: Elements, size: tuple[int, ...], interpolation: str) -> None:
    sources = {k: v for k, v in elements._asdict().items() if v is not None}
    ours = construct_kernel(*elements, size, interpolation)
    assert_same_values_and_gradients(
        ours, reference.construct_kernel(*elements, size, interpolation), sources
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", SIZES, ids=str)
@each_interpolation
def test_values_and_gradients_are_those_of_the_reference(interpolation, size, place, device):
    elements = draw_elements(size, interpolation, place, device=device)
    assert_same_as_reference(elements, size, interpolation)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("interpolation", [k for k, v in INTERPOLATIONS.items() if v.has_sigma])
def test_a_new_sigma_gives_the_values_and_gradients_of_the_reference(interpolation, size):
    initial = INTERPOLATIONS[interpolation].initial_sigma
    for place in PLACES:
        weight, positions, sigma = draw_elements(size, interpolation, place)
        sigma = torch.full_like(sigma, initial).requires_grad_()
        assert_same_as_reference(Elements(weight, positions, sigma), size, interpolation)


@st.composite
def random_elements(draw):
    size = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    shape = tuple(draw(st.tuples(*[st.integers(1, 2)] * 3)))
    interpolation = draw(st.sampled_from(list(INTERPOLATIONS)))
    # Multiples of a quarter meet the grid, its borders and the kinks of triangles often.
    coordinate = st.one_of(st.integers(-24, 24).map(lambda n: n / 4), st.floats(-6, 6))

    def tensor(*lead: int) -> torch.Tensor:
        shape_ = (*lead, *shape)
        count = torch.Size(shape_).numel()
        values = draw(st.lists(coordinate, min_size=count, max_size=count))
        return torch.tensor(values, dtype=torch.double).reshape(shape_).requires_grad_()

    has_sigma = INTERPOLATIONS[interpolation].has_sigma
    sigma = tensor(len(size)) if has_sigma else None
    return Elements(tensor(), tensor(len(size)), sigma), size, interpolation


@given(random_elements())
def test_random_elements_give_the_values_and_gradients_of_the_reference(case):
    assert_same_as_reference(*case)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [(9,), (4, 7), (2, 5, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@each_interpolation
def test_the_only_loss_of_a_lower_precision_is_the_rounding_of_the_result(
    interpolation, dtype, size, place
):
    elements = [
        None if tensor is None else tensor.detach().to(dtype)
        for tensor in draw_elements(size, interpolation, place)
    ]
    kernel = construct_kernel(*elements, size, interpolation)
    assert kernel.dtype == dtype
    expected = reference.construct_kernel(*elements, size, interpolation)
    step = max(torch.finfo(dtype).eps, 4e-6)
    torch.testing.assert_close(kernel.double(), expected, rtol=step, atol=4e-6)


@pytest.mark.parametrize("size", [(5,), (4, 7), (2, 5, 3)], ids=str)
@pytest.mark.parametrize("place", PLACES)
@each_interpolation
def test_the_whole_weight_of_an_element_stays_in_the_kernel(interpolation, place, size):
    elements = draw_elements(size, interpolation, place)
    kernel = construct_kernel(*elements, size, interpolation)
    # Up to the small constant that keeps the normaliser from zero.
    torch.testing.assert_close(
        kernel.flatten(2).sum(-1), elements.weight.sum(-1), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
@each_interpolation
def test_shifting_an_element_by_one_cell_shifts_the_kernel_by_one_cell(interpolation, axes):
    size = (15, 13, 14)[:axes]
    weight, positions, sigma = draw_elements((1,) * axes, interpolation, shape=(1, 1, 1))
    positions = positions.detach() + 0.3
    sigma = None if sigma is None else torch.full_like(sigma, 0.23)
    for axis in range(axes):
        moved = positions.clone()
        moved[axis] += 1
        torch.testing.assert_close(
            construct_kernel(weight, moved, sigma, size, interpolation),
            construct_kernel(weight, positions, sigma, size, interpolation).roll(1, 2 + axis),
            rtol=0,
            atol=1e-9,
        )


@pytest.mark.parametrize("size", [(4, 7), (2, 5, 3)], ids=str)
@pytest.mark.parametrize("place", PLACES)
@each_interpolation
def test_row_a_of_positions_and_sigma_addresses_kernel_axis_a(interpolation, place, size):
    weight, positions, sigma = draw_elements(size, interpolation, place)
    turned_sigma = None if sigma is None else sigma.flip(0)
    torch.testing.assert_close(
        construct_kernel(weight, positions.flip(0), turned_sigma, size[::-1], interpolation),
        construct_kernel(weight, positions, sigma, size, interpolation).permute(
            0, 1, *range(len(size) + 1, 1, -1)
        ),
    )


@pytest.mark.parametrize("size", [(5,), (5, 7), (3, 5, 3)], ids=str)
@each_interpolation
def test_mirrored_positions_give_the_mirrored_kernel_on_odd_axes(interpolation, size):
    weight, positions, sigma = draw_elements(size, interpolation)
    torch.testing.assert_close(
        construct_kernel(weight, -positions, sigma, size, interpolation),
        construct_kernel(weight, positions, sigma, size, interpolation).flip(
            *range(2, 2 + len(size))
        ),
    )


@pytest.mark.parametrize("size", [(9, 8), (4, 7, 5)], ids=str)
@each_interpolation
def test_no_tensor_holds_every_element_times_every_cell(interpolation, size):
    shape = (3, 2, 40)
    elements = draw_elements(size, interpolation, shape=shape)
    with LargestTensor() as largest:
        construct_kernel(*elements, size, interpolation).square().sum().backward()
    assert elements.positions.grad.abs().sum() > 0
    kernel = torch.Size(shape[:2] + size).numel()
    elements_times_cells = torch.Size(shape + size).numel()
    assert kernel <= largest.numel < elements_times_cells


@pytest.mark.parametrize("size", [1, 2, 3, 4, 17])
def test_limits_are_the_offsets_of_the_first_and_last_cell(size):
    low, high = position_limits(size)
    for offset, cell in ((low, 0), (0, size // 2), (high, size - 1)):
        positions = torch.full((1, 1, 1, 1), float(offset))
        kernel = construct_kernel(torch.ones(1, 1, 1), positions, None, (size,), "bilinear")
        assert kernel.flatten().nonzero().tolist() == [[cell]]
