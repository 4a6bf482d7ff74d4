"""Where the published layer is right, ours agrees with it in values and gradients."""

import pytest
import torch

from helpers.cases import assert_same_values_and_gradients, draw_elements, draw_layer
from helpers.published import (
    PUBLISHED,
    VERSIONS,
    kernel_axis_of_each_row,
    published_kernel,
    published_layer,
)
from mmdcls.dcls import INTERPOLATIONS, construct_kernel

each_interpolation = pytest.mark.parametrize("interpolation", VERSIONS)
each_axes = pytest.mark.parametrize("axes", [1, 2, 3])


def test_every_interpolation_that_was_published_is_compared():
    assert set(VERSIONS) <= set(INTERPOLATIONS)
    assert set(VERSIONS.values()) == {"v0", "v1", "max", "gauss"}


@pytest.mark.parametrize("cells", [3, 5, 8])
@each_axes
@each_interpolation
def test_values_and_gradients_are_the_published_ones_inside_square_kernels(
    interpolation, axes, cells
):
    size = (cells,) * axes
    elements = draw_elements(size, interpolation, shape=(3, 2, 4))
    sources = {name: tensor for name, tensor in elements._asdict().items() if tensor is not None}
    assert_same_values_and_gradients(
        construct_kernel(*elements, size, interpolation),
        published_kernel(elements, size, VERSIONS[interpolation]),
        sources,
    )


@each_axes
@each_interpolation
def test_values_are_the_published_ones_on_the_grid(interpolation, axes):
    size = (5,) * axes
    elements = draw_elements(size, interpolation, "on the grid", shape=(3, 2, 4))
    torch.testing.assert_close(
        construct_kernel(*elements, size, interpolation),
        published_kernel(elements, size, VERSIONS[interpolation]),
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
@each_axes
def test_gradients_are_the_published_ones_on_the_grid_below_the_last_cell(axes, interpolation):
    size = (5,) * axes
    elements = draw_elements((4,) * axes, interpolation, "on the grid", shape=(3, 2, 4))
    sources = {name: tensor for name, tensor in elements._asdict().items() if tensor is not None}
    assert_same_values_and_gradients(
        construct_kernel(*elements, size, interpolation),
        published_kernel(elements, size, VERSIONS[interpolation]),
        sources,
    )


@each_axes
@each_interpolation
def test_outputs_of_the_layer_are_the_published_ones(interpolation, axes, on_cpu):
    layer = draw_layer(axes, interpolation=interpolation, groups=2, padding=2, stride=2)
    theirs = PUBLISHED[axes](4, 4, 3, 2, 2, 5, groups=2, version=VERSIONS[interpolation]).double()
    order = kernel_axis_of_each_row(theirs.version, axes)
    with torch.no_grad():
        theirs.weight.copy_(layer.weight)
        theirs.bias.copy_(layer.bias)
        theirs.P.copy_(layer.positions[order])
        if layer.sigma is not None:
            theirs.SIG.copy_(layer.sigma[order])
    x = torch.randn(2, 4, *(9,) * axes, dtype=torch.double)
    torch.testing.assert_close(layer(x), theirs(x))


@each_interpolation
def test_a_new_published_layer_has_our_initial_sigma(interpolation):
    theirs = published_layer(VERSIONS[interpolation], 5)
    initial = INTERPOLATIONS[interpolation].initial_sigma
    assert (theirs.SIG is None) == (initial is None)
    assert initial is None or (initial == theirs.SIG).all()
