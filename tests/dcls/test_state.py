"""State is parameters only, so that copying, saving, moving and training in parallel just work."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call

from helpers.cases import LAYERS, draw_input, draw_layer
from mmdcls.dcls import INTERPOLATIONS, Dcls2d, DclsNd, ElementPositions

each_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)
each_axes = pytest.mark.parametrize("axes", [1, 2, 3])


def warm(layer: DclsNd) -> DclsNd:
    """The layer in eval, with a kernel in its cache."""
    layer.eval()
    with torch.inference_mode():
        layer(draw_input(layer.axes).to(layer.weight.dtype))
    return layer


class Stage(nn.Module):
    """Two layers whose positions belong to the stage."""

    def __init__(self, interpolation: str = "gaussian") -> None:
        super().__init__()
        self.owner = ElementPositions((5, 5), interpolation, (4, 1, 3))
        self.layers = nn.ModuleList(
            Dcls2d(
                4,
                4,
                5,
                padding=2,
                groups=4,
                kernel_count=3,
                interpolation=interpolation,
                share_positions=True,
            )
            for _ in range(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shares = self.owner.shares()
        for layer in self.layers:
            x = layer(x, shares)
        return x


@pytest.mark.parametrize("bias", [True, False])
@each_interpolation
@each_axes
def test_the_state_is_the_parameters(axes, interpolation, bias):
    layer = warm(draw_layer(axes, interpolation=interpolation, bias=bias))
    expected = {"weight", "positions"}
    expected |= {"bias"} if bias else set()
    expected |= {"sigma"} if INTERPOLATIONS[interpolation].has_sigma else set()
    assert set(layer.state_dict()) == set(dict(layer.named_parameters())) == expected
    assert not list(layer.buffers())


def test_shared_positions_are_one_entry_of_state_and_optimiser():
    stage = Stage()
    names = [name for name, _ in stage.named_parameters() if "positions" in name]
    assert names == ["owner.positions"]
    assert [name for name in stage.state_dict() if "positions" in name] == names


def pickled(layer: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(layer))


def saved(layer: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    fresh = copy.deepcopy(layer)
    for parameter in fresh.parameters():
        parameter.data.zero_()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


def assigned(layer: nn.Module) -> nn.Module:
    fresh = copy.deepcopy(layer).to("meta")
    fresh.load_state_dict(copy.deepcopy(layer.state_dict()), assign=True)
    return fresh


def emptied(layer: nn.Module) -> nn.Module:
    fresh = copy.deepcopy(layer).to("meta").to_empty(device=torch.get_default_device())
    fresh.load_state_dict(layer.state_dict())
    return fresh


COPIES = dict(deepcopy=copy.deepcopy, pickle=pickled, save=saved, assign=assigned, to_empty=emptied)
each_copy = pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)


@pytest.mark.parametrize("groups", [1, 4])
@each_copy
@each_interpolation
@each_axes
def test_a_copy_computes_and_learns_the_same_and_is_independent(axes, interpolation, make, groups):
    layer = warm(draw_layer(axes, interpolation=interpolation, groups=groups))
    x = draw_input(axes)
    twin = make(layer)
    expected = layer(x)
    torch.testing.assert_close(twin(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(twin(x), expected)
    twin.train()(x).square().sum().backward()
    torch.optim.SGD(twin.parameters(), lr=0.1).step()
    twin.eval()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
        assert not torch.allclose(twin(x), expected)


@each_copy
def test_a_copied_stage_still_shares_its_positions(make):
    stage = Stage().double()
    twin = make(stage)
    x = draw_input()
    torch.testing.assert_close(twin(x), stage(x))
    before = [layer.kernel(twin.owner.shares()) for layer in twin.layers]
    with torch.no_grad():
        twin.owner.positions.sub_(0.4)
    for layer, kernel in zip(twin.layers, before, strict=True):
        assert not torch.allclose(layer.kernel(twin.owner.shares()), kernel)
    assert [name for name in twin.state_dict() if "positions" in name] == ["owner.positions"]


def test_a_pickle_does_not_hold_the_cached_kernel():
    layer = LAYERS[2](4, 4, 65, padding=32, kernel_count=1)
    cold = len(pickle.dumps(layer))
    assert abs(len(pickle.dumps(warm(layer))) - cold) < 100


@each_interpolation
def test_a_layer_made_on_meta_is_filled_and_runs(interpolation):
    layer = LAYERS[2](
        4, 4, 5, padding=2, kernel_count=3, interpolation=interpolation, device="meta"
    )
    assert {parameter.device.type for parameter in layer.parameters()} == {"meta"}
    for mode in (True, False):
        y = layer.train(mode)(torch.empty(2, 4, 9, 8, device="meta"))
        assert (y.device.type, y.shape) == ("meta", (2, 4, 9, 8))
    layer.to_empty(device=torch.get_default_device())
    layer.reset_parameters()
    assert layer(torch.randn(2, 4, 9, 8)).isfinite().all()


def test_a_layer_made_under_a_default_device_lives_there():
    with torch.device("meta"):
        layer = LAYERS[2](4, 4, 5, kernel_count=3, interpolation="gaussian")
    assert {parameter.device.type for parameter in layer.parameters()} == {"meta"}


def test_a_layer_follows_a_move_after_its_first_forward():
    layer = warm(draw_layer().float())
    assert layer.to("meta")(torch.empty(2, 4, 9, 8, device="meta")).device.type == "meta"


@each_axes
def test_a_layer_changes_its_dtype_after_its_first_forward(axes):
    layer = warm(draw_layer(axes, interpolation="gaussian"))
    x = draw_input(axes)
    with torch.no_grad():
        expected = layer(x)
        for dtype in (torch.float32, torch.bfloat16, torch.double):
            y = layer.to(dtype)(x.to(dtype))
            assert y.dtype == dtype
            torch.testing.assert_close(y.double(), expected, rtol=0.1, atol=0.1)


@each_interpolation
def test_parameters_may_be_given_from_outside(interpolation):
    layer, other = (draw_layer(interpolation=interpolation, groups=4) for _ in range(2))
    x = draw_input()
    given = functional_call(layer, dict(other.named_parameters()), (x,))
    torch.testing.assert_close(given, other(x))
    given.sum().backward()
    assert all(parameter.grad is None for parameter in layer.parameters())
    assert all(parameter.grad is not None for parameter in other.parameters())


def test_frozen_positions_get_no_gradient_and_the_weight_does():
    layer = draw_layer(groups=4)
    layer.positions.requires_grad_(False)
    for mode in (True, False):
        layer.zero_grad()
        layer.train(mode)(draw_input()).sum().backward()
        assert layer.positions.grad is None
        assert layer.weight.grad.abs().sum() > 0


@each_interpolation
def test_ddp_gives_the_gradients_of_the_bare_module(interpolation, process_group):
    bare = nn.Sequential(
        LAYERS[2](4, 4, 5, padding=2, kernel_count=3, interpolation=interpolation),
        Stage(interpolation),
    )
    parallel = nn.parallel.DistributedDataParallel(copy.deepcopy(bare))
    x = torch.randn(2, 4, 9, 8)
    for module in (bare, parallel):
        for _ in range(2):
            module(x).square().mean().backward()
    expected = {name: parameter.grad for name, parameter in bare.named_parameters()}
    grads = {name: parameter.grad for name, parameter in parallel.module.named_parameters()}
    torch.testing.assert_close(grads, expected)
    assert all(grad.any() for grad in grads.values())
