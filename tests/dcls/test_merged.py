"""Merged, a network is plain convolutions without empty borders, and computes the same."""

import pytest
import torch
from torch import Tensor, nn

from helpers.cases import CONVS, GEOMETRIES, draw_input, draw_layer, geometry
from mmdcls.dcls import INTERPOLATIONS, Dcls2d, DclsNd, ElementPositions, merged

each_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)
each_axes = pytest.mark.parametrize("axes", [1, 2, 3])


def near_the_centre(layer: DclsNd, reach: float = 0.5) -> DclsNd:
    """Elements within this many cells of the centre, so that larger kernels have empty borders."""
    layer.positions.data.uniform_(-reach, reach)
    return layer


def empty_borders(kernel: Tensor) -> list[bool]:
    """Per axis, whether the first and the last cells are all zero."""
    used = [(kernel != 0).movedim(axis, 0).flatten(1).any(1) for axis in range(2, kernel.dim())]
    return [not (axis[0] or axis[-1]) for axis in used]


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("name", GEOMETRIES)
@each_axes
def test_a_trimmed_convolution_computes_the_same(axes, name, padding_mode):
    layer = near_the_centre(draw_layer(axes, **geometry(name, axes), padding_mode=padding_mode))
    plain = layer.to_conv(trim=True)
    assert type(plain) is CONVS[axes]
    x = draw_input(axes)
    torch.testing.assert_close(plain(x), layer(x))


@each_axes
def test_all_empty_borders_go_when_padding_allows(axes):
    layer = near_the_centre(draw_layer(axes, kernel_size=9, padding=4))
    plain = layer.to_conv(trim=True)
    # The elements reach the centre and its two neighbours.
    assert plain.kernel_size == (3,) * axes
    assert plain.padding == (1,) * axes


def test_axes_are_trimmed_each_by_its_own_and_both_ends_alike():
    layer = draw_layer(2, kernel_size=9, padding=4)
    layer.positions.data[0] = 0.0
    layer.positions.data[1] = 2.5
    plain = layer.to_conv(trim=True)
    assert (plain.kernel_size, plain.padding) == ((1, 7), (0, 3))


def test_no_more_is_cut_than_there_is_padding():
    layer = near_the_centre(draw_layer(2, kernel_size=9, padding=(1, 0)))
    plain = layer.to_conv(trim=True)
    assert (plain.kernel_size, plain.padding) == ((7, 9), (0, 0))


@each_axes
def test_a_kernel_of_zeros_keeps_a_cell(axes):
    layer = draw_layer(axes, kernel_size=7, padding="same")
    nn.init.zeros_(layer.weight)
    assert layer.to_conv(trim=True).kernel_size == (1,) * axes


@each_interpolation
def test_values_stay_exactly_what_they_are(interpolation):
    """Of what is cut, all is zero; a Gaussian of this width is zero nowhere."""
    layer = near_the_centre(draw_layer(2, kernel_size=9, padding=4, interpolation=interpolation))
    layer = layer.float()
    whole, trimmed = layer.to_conv().weight, layer.to_conv(trim=True).weight
    rest = [(9 - size) // 2 for size in trimmed.shape[2:]]
    padded = nn.functional.pad(trimmed, [rest[1], rest[1], rest[0], rest[0]])
    assert torch.equal(padded, whole)
    assert not any(empty_borders(trimmed))
    if interpolation == "gaussian":
        assert trimmed.shape == whole.shape


class Network(nn.Module):
    """Two layers that share the positions of an owner, one with its own, and a plain one."""

    def __init__(self, interpolation: str) -> None:
        super().__init__()
        options = dict(kernel_size=9, padding=4, interpolation=interpolation)
        self.owner = ElementPositions((9, 9), interpolation, (4, 4, 3))
        self.owner.first, self.owner.second = (
            draw_layer(2, **options, share_positions=True) for _ in range(2)
        )
        self.owner.inner = nn.Sequential(draw_layer(2, **options), nn.Conv2d(4, 4, 1))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        shares = () if self.owner.positions is None else (self.owner.shares(),)
        x = self.owner.second(self.owner.first(x, *shares), *shares)
        return self.owner.inner(x)


@each_interpolation
def test_a_network_with_shared_and_own_positions_computes_the_same(interpolation):
    network = Network(interpolation).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = merged(network)
    x = draw_input(2, least=11)
    torch.testing.assert_close(plain(x), network(x))
    assert not any(isinstance(module, DclsNd) for module in plain.modules())
    assert not any("positions" in name or "sigma" in name for name in plain.state_dict())
    assert all(not module.training for module in plain.modules())
    # The network itself stays.
    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_layer_by_itself_and_a_layer_of_two_names_are_merged():
    layer = near_the_centre(draw_layer(2, kernel_size=9, padding=4))
    assert merged(layer).kernel_size == (3, 3)
    twice = merged(nn.Sequential(layer, layer))
    x = draw_input()
    torch.testing.assert_close(twice(x), layer(layer(x)))


def test_other_layers_become_what_they_say_themselves():
    class Drawn(nn.Module):
        def to_conv(self, trim: bool = False) -> nn.Module:
            return nn.Conv2d(2, 2, 3 if trim else 5)

    plain = merged(nn.Sequential(nn.ReLU(), Drawn()))
    assert type(plain[1]) is nn.Conv2d and plain[1].kernel_size == (3, 3)


class Lent(nn.Module):
    """Positions stand by themselves, and a layer of the same shape stands under others."""

    def __init__(self) -> None:
        super().__init__()
        options = dict(padding=3, groups=4, kernel_count=3, share_positions=True)
        self.positions = ElementPositions((7, 7), "bilinear", (4, 1, 3))
        self.stage = ElementPositions((7, 7), "bilinear", (4, 1, 3))
        self.stage.inside = Dcls2d(4, 4, 7, **options)
        self.outside = Dcls2d(4, 4, 7, **options)
        for layer in (self.stage.inside, self.outside):
            layer.borrow_positions(self.positions)

    def forward(self, x: Tensor) -> Tensor:
        return self.outside(self.stage.inside(x))


def test_borrowed_positions_are_the_lenders_wherever_layers_stand():
    model, x = Lent().double(), torch.randn(1, 4, 9, 9, dtype=torch.double)
    torch.testing.assert_close(merged(model)(x), model(x))


def test_a_layer_that_stands_in_two_places_stays_one():
    layer = Dcls2d(4, 4, 5, padding=2, kernel_count=3)
    model = merged(nn.Sequential(layer, nn.Sequential(layer)))
    assert model[0] is model[1][0] and type(model[0]) is nn.Conv2d
