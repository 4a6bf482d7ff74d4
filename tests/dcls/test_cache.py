"""In eval without gradients, a layer is never out of date."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers.cases import draw_input
from helpers.models_in_eval import OwnPositions, SharedPositions, truth
from mmdcls.dcls import INTERPOLATIONS

MODES = dict(no_grad=torch.no_grad, inference_mode=torch.inference_mode)
each_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
each_axes = pytest.mark.parametrize("axes", [1, 2, 3])
each_model = pytest.mark.parametrize("model_class", [OwnPositions, SharedPositions])


def optimizer_step(model: OwnPositions) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(draw_input(model.layer.axes)).square().sum().backward()
    optimizer.step()


def training_step(model: OwnPositions) -> None:
    model.train()
    optimizer_step(model)
    model.eval()


def load(model: OwnPositions, **kwargs) -> None:
    other = type(model)(model.layer.axes, model.layer.interpolation)
    model.load_state_dict(other.state_dict(), **kwargs)


def edit_in_place(*names: str) -> Callable[[OwnPositions], None]:
    def edit(model: OwnPositions) -> None:
        with torch.no_grad():
            for name in names:
                getter = model.layer if name in ("weight", "bias") else model.owner
                getattr(getter, name).sub_(0.3)

    return edit


def edit_in_inference_mode(model: OwnPositions) -> None:
    with torch.inference_mode():
        model.layer.weight.mul_(2)


def copy_into_data(model: OwnPositions) -> None:
    for parameter in model.parameters():
        parameter.data.copy_(parameter.data * 0.7 + 0.1)


def replace_data(model: OwnPositions) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data * 0.7 + 0.1


def edit_memory(model: OwnPositions) -> None:
    """By a tensor that shares the memory and nothing else, such as numpy's or cupy's."""
    torch.from_dlpack(model.owner.positions.detach()).mul_(0.5)


def swap_with_average(model: OwnPositions) -> None:
    """As mmengine's EMAHook does before it validates."""
    for parameter in model.parameters():
        average = parameter.data * 0.7 + 0.1
        kept = parameter.data.clone()
        parameter.data.copy_(average)
        average.copy_(kept)


def swap_parameter(model: OwnPositions) -> None:
    model.owner.positions = nn.Parameter(model.owner.positions.detach() * 0.5)


def swap_tensors(model: OwnPositions) -> None:
    for parameter in model.parameters():
        torch.utils.swap_tensors(parameter, nn.Parameter(parameter.detach() * 0.7 + 0.1))


def vector_to_parameters(model: OwnPositions) -> None:
    vector = nn.utils.parameters_to_vector(model.parameters())
    nn.utils.vector_to_parameters(vector * 0.7 + 0.1, model.parameters())


def edit_one_value(model: OwnPositions) -> None:
    with torch.no_grad():
        model.owner.sigma.flatten()[-1] += 0.5


def one_ulp(model: OwnPositions) -> None:
    weight = model.layer.weight.data
    weight.copy_(torch.nextafter(weight, torch.full_like(weight, 9)))


def round_to_the_grid(model: OwnPositions) -> None:
    with torch.no_grad():
        model.owner.positions.round_()


def clamp(model: OwnPositions) -> None:
    with torch.no_grad():
        model.owner.positions.add_(2)
    with torch.no_grad():
        model(draw_input(model.layer.axes))
    model.owner.clamp_positions_()


def reset(model: OwnPositions) -> None:
    model.owner.reset_positions()
    model.layer.reset_weight()


def change_interpolation(model: OwnPositions) -> None:
    model.owner.interpolation = "triangle"


def change_dtype_and_back(model: OwnPositions) -> None:
    """Rounds the parameters."""
    model.to(torch.bfloat16)
    with torch.no_grad():
        model(draw_input(model.layer.axes).bfloat16())
    model.double()


def edit_after_a_copy(model: OwnPositions) -> None:
    copy.deepcopy(model)
    edit_in_place("weight")(model)


WAYS = {
    "optimizer step": training_step,
    "optimizer step in eval": optimizer_step,
    "load_state_dict": load,
    "load_state_dict with assign": lambda model: load(model, assign=True),
    "in-place edit of the weight": edit_in_place("weight"),
    "in-place edit of positions": edit_in_place("positions"),
    "in-place edit of sigma": edit_in_place("sigma"),
    "in-place edit of the bias": edit_in_place("bias"),
    "in-place edit of all": edit_in_place("weight", "positions", "sigma", "bias"),
    "in-place edit in inference mode": edit_in_inference_mode,
    "edit of one value": edit_one_value,
    "edit by the smallest step": one_ulp,
    ".data.copy_": copy_into_data,
    ".data replaced": replace_data,
    "edit of the memory": edit_memory,
    "swap with an average": swap_with_average,
    "another Parameter object": swap_parameter,
    "swap_tensors": swap_tensors,
    "vector_to_parameters": vector_to_parameters,
    "rounding": round_to_the_grid,
    "clamping": clamp,
    "reset": reset,
    "another interpolation": change_interpolation,
    "another dtype and back": change_dtype_and_back,
    "edit after a deep copy": edit_after_a_copy,
}


@pytest.mark.parametrize("way", WAYS)
@each_mode
@each_model
def test_the_output_is_never_out_of_date(model_class, mode, way):
    model, x = model_class(), draw_input().detach()
    with mode():
        before = [model(x) for _ in range(2)]
    torch.testing.assert_close(before[0], truth(model, x))
    torch.manual_seed(1)
    WAYS[way](model)
    for _ in range(2):
        with mode():
            torch.testing.assert_close(model(x), truth(model, x), rtol=0, atol=1e-13)
    assert not torch.equal(model(x), before[1])


@each_model
@each_axes
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_way_there_and_back_gives_the_first_output(interpolation, axes, model_class):
    model, x = model_class(axes, interpolation), draw_input(axes).detach()
    kept = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        before = model(x)
        for parameter in model.parameters():
            parameter.data.mul_(0.5)
        assert not torch.allclose(model(x), before)
        model.load_state_dict(kept)
        assert torch.equal(model(x), before)


@each_model
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_move_to_another_dtype_rebuilds(dtype, model_class):
    model, x = model_class(), draw_input().detach()
    with torch.no_grad():
        model(x)
        model.to(dtype)
        y = model(x.to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y, truth(model, x.to(dtype)), rtol=0.02, atol=0.02)


def test_a_run_with_fake_tensors_leaves_nothing_behind():
    model = OwnPositions(2, "bilinear").eval()
    x = draw_input(2)
    with torch.no_grad():
        for _ in range(2):
            with FakeTensorMode(allow_non_fake_inputs=True):
                model(x)
            torch.testing.assert_close(model(x), truth(model, x))
