"""Effective receptive fields against gradients by hand, and squares that are known."""

import math

import pytest
import torch
from torch import Tensor, nn

from mmdcls.analysis.receptive_field import area_table, effective_receptive_field
from mmdcls.dcls import INTERPOLATIONS, Dcls2d
from mmdcls.models import DclsConvNeXt

ARCH = dict(depths=(1, 1, 1, 1), channels=(4, 4, 8, 8))
SIDE = 96  # three cells of stride 32


def small_backbone(**options) -> DclsConvNeXt:
    options = dict(kernel_size=9, kernel_count=5, layer_scale_init_value=1.0) | options
    return DclsConvNeXt(ARCH, **options)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_field_of_one_convolution_is_its_kernel(size):
    """Of the channels whose middle cell is positive, where their kernels add up to more than 0."""
    conv = nn.Conv2d(2, 5, size, padding=size // 2).double()
    images = torch.randn(3, 2, 15, 15).double()
    expected = torch.zeros(15, 15).double()
    first, last = 7 - size // 2, 8 + size // 2
    for image in images:
        is_on = conv(image[None])[0, :, 7, 7] > 0
        gradient = conv.weight[is_on].sum(0).relu().sum(0) / len(images)
        expected[first:last, first:last] += gradient.detach()
    torch.testing.assert_close(effective_receptive_field(conv, images), expected)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_the_merged_network_sees_what_the_live_one_sees(interpolation):
    backbone = small_backbone(interpolation=interpolation).double().eval()
    image = torch.randn(3, SIDE, SIDE).double()
    image.requires_grad_()
    y = image[None]
    for downsample, stage in zip(backbone.downsample_layers, backbone.stages, strict=True):
        y = stage(downsample(y))
    (gradient,) = torch.autograd.grad(y[0, :, 1, 1].relu().sum(), image)
    field = effective_receptive_field(backbone, [image.detach()])
    assert field.max() > 0
    torch.testing.assert_close(field, gradient.relu().sum(0), rtol=1e-6, atol=1e-9)


def test_the_field_of_a_network_that_tells_no_sides_apart_lies_in_the_middle():
    net = nn.Sequential(
        nn.Conv2d(1, 1, 4, stride=4), nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 2, stride=2)
    )
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    field = effective_receptive_field(net, torch.rand(1, 1, 40, 40))
    for turned in (field.flip(0), field.flip(1), field.T):
        assert torch.equal(field, turned)
    assert area_table(field, [0.999]) == [(0.999, 16, 16**2 / 40**2)]


def test_it_is_taken_before_the_last_norm_or_at_the_layer_that_is_named():
    backbone, images = small_backbone(), torch.randn(2, 3, SIDE, SIDE)
    field = effective_receptive_field(backbone, images)
    nn.init.normal_(backbone.norm3.weight)
    assert torch.equal(effective_receptive_field(backbone, images), field)
    assert not torch.equal(effective_receptive_field(backbone, images, "norm3"), field)
    assert torch.equal(effective_receptive_field(backbone, images, "stages.3"), field)


def test_it_is_the_mean_over_images_and_leaves_the_network_as_it_was():
    backbone, images = small_backbone(drop_path_rate=0.5).train(), torch.randn(2, 3, SIDE, SIDE)
    fields = [effective_receptive_field(backbone, image[None]) for image in images]
    torch.testing.assert_close(effective_receptive_field(backbone, images), sum(fields) / 2)
    assert backbone.training and all(p.requires_grad for p in backbone.parameters())
    assert all(p.grad is None for p in backbone.parameters())
    assert isinstance(backbone.stages[0][0].dwconv, Dcls2d)


def test_under_no_grad_it_is_the_same():
    backbone, images = small_backbone(), torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        field = effective_receptive_field(backbone, images)
    assert torch.equal(field, effective_receptive_field(backbone, images))


REFUSED = {
    "no middle cell": (nn.Conv2d(1, 1, 2, stride=2), [torch.rand(1, 8, 8)], "4 x 4 cells"),
    "no image": (nn.Conv2d(1, 1, 1), [], "no image"),
    "sizes": (nn.Conv2d(1, 1, 1), [torch.rand(1, 3, 3), torch.rand(1, 5, 5)], "different sizes"),
    "no map": (nn.Flatten(), [torch.rand(1, 3, 3)], "must be a map"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_field_is_refused(name):
    net, images, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        effective_receptive_field(net, images)


@pytest.mark.parametrize("layer", ["stages.7", "stages"])
def test_a_layer_that_is_not_there_or_does_not_run_is_refused(layer):
    with pytest.raises(ValueError, match="name"):
        effective_receptive_field(small_backbone(), torch.randn(1, 3, SIDE, SIDE), layer)


def test_a_gradient_that_is_not_finite_is_refused():
    conv = nn.Conv2d(1, 1, 3, padding=1)
    nn.init.constant_(conv.weight, math.inf)
    with pytest.raises(ValueError, match="image 0"):
        effective_receptive_field(conv, torch.ones(1, 1, 5, 5))


def uniform(square: int, side: int) -> Tensor:
    field = torch.zeros(side, side)
    low = (side - square) // 2
    field[low : low + square, low : low + square] = 0.25
    return field


@pytest.mark.parametrize(("square", "side"), [(9, 31), (31, 31), (1, 31), (10, 32), (32, 32)])
@pytest.mark.parametrize("share", [0.2, 0.3, 0.5, 0.99])
def test_a_uniform_square_is_measured_exactly(square, side, share):
    """The smallest side of the field's parity whose square is more than the share of this one."""
    sides = range(2 - side % 2, side + 1, 2)
    expected = next(s for s in sides if min(s, square) ** 2 > share * square**2)
    ((_, found, area),) = area_table(uniform(square, side), [share])
    assert (found, area) == (expected, expected**2 / side**2)


@pytest.mark.parametrize("field", [torch.zeros(5, 5), torch.eye(1, 9).repeat(3, 1)])
def test_what_no_square_holds_is_not_reached(field):
    """A field of nothing, and one that lies outside all squares of its shorter side."""
    assert area_table(field, [0.5]) == [(0.5, None, None)]


def test_areas_grow_with_the_share_and_do_not_depend_on_the_scale():
    field = torch.rand(33, 33) ** 4
    sides = [area.side for area in area_table(field)]
    assert sides == sorted(sides)
    assert area_table(1e-6 * field) == area_table(field)
