"""In eval without gradients the kernel is built once; otherwise it is built for the call."""

import copy
import threading
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp, vmap

from helpers.cases import draw_elements, draw_input, draw_layer
from helpers.models_in_eval import OwnPositions, SharedPositions, truth
from mmdcls.dcls import INTERPOLATIONS, DclsNd, layers

MODES = dict(no_grad=torch.no_grad, inference_mode=torch.inference_mode)
each_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
each_axes = pytest.mark.parametrize("axes", [1, 2, 3])
each_model = pytest.mark.parametrize("model_class", [OwnPositions, SharedPositions])


@pytest.fixture
def builds(monkeypatch) -> list:
    """One entry for every kernel that is built."""
    built = []
    build = layers.kernel_from_shares

    def counted(*args):
        built.append(args)
        return build(*args)

    monkeypatch.setattr(layers, "kernel_from_shares", counted)
    return built


def move_positions(model: OwnPositions) -> None:
    model.owner.positions.data.sub_(0.3)


@each_mode
@each_model
@each_axes
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_the_kernel_is_built_once(interpolation, axes, model_class, mode, builds):
    model = model_class(axes, interpolation)
    for batch in (1, 2, 3):
        with mode():
            model(draw_input(axes, batch=batch))
    assert len(builds) == 1


@each_model
def test_a_kernel_built_in_one_mode_serves_in_the_others(model_class, builds):
    model, x = model_class(), draw_input()
    for mode in (torch.inference_mode, torch.no_grad, torch.inference_mode):
        with mode():
            model(x)
    with torch.no_grad():
        model.train().eval()
        model(x)
    assert len(builds) == 1


@each_model
def test_a_frozen_layer_reuses_its_kernel_and_passes_the_gradient_of_its_input(model_class, builds):
    model, x = model_class().requires_grad_(False), draw_input()
    with torch.inference_mode():
        model(x)
    for _ in range(2):
        (gradient,) = torch.autograd.grad(model(x).square().sum(), x)
    assert len(builds) == 1
    (expected,) = torch.autograd.grad(truth(model, x).square().sum(), x)
    torch.testing.assert_close(gradient, expected)


@each_model
@each_mode
def test_gradients_flow_after_a_kernel_was_cached(mode, model_class):
    model, x = model_class(), draw_input()
    with mode():
        model(x)
    for training in (False, True):
        model.train(training)
        found = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
        expected = torch.autograd.grad(truth(model, x).square().sum(), list(model.parameters()))
        torch.testing.assert_close(found, expected)


@each_model
def test_a_training_layer_builds_its_kernel_every_time(model_class, builds):
    model = model_class().train()
    for context in (nullcontext, torch.no_grad):
        builds.clear()
        with context():
            for _ in range(2):
                model(draw_input())
        assert len(builds) == 2


@each_model
def test_a_trainable_layer_with_gradients_builds_its_kernel_every_time(model_class, builds):
    model = model_class()
    for _ in range(2):
        model(draw_input())
    assert len(builds) == 2


def test_the_kernel_that_is_handed_out_is_nobody_elses():
    model, x = OwnPositions(), draw_input()
    with torch.no_grad():
        before = model(x)
        model.layer.kernel().zero_()
        model.layer.to_conv().weight.zero_()
        assert torch.equal(model(x), before)


@each_model
def test_a_deep_copy_does_not_share_the_cache(model_class, builds):
    model, x = model_class(), draw_input()
    with torch.no_grad():
        before = model(x)
        twin = copy.deepcopy(model)
        move_positions(twin)
        torch.testing.assert_close(twin(x), truth(twin, x))
        builds.clear()
        assert torch.equal(model(x), before)
    assert not builds


def test_an_owner_in_training_keeps_the_layers_in_eval_up_to_date():
    model, x = SharedPositions(), draw_input()
    model.owner.train()
    with torch.no_grad():
        for _ in range(2):
            move_positions(model)
            torch.testing.assert_close(model(x), truth(model, x))


def test_shares_taken_before_an_edit_do_not_outlive_it():
    model, x = SharedPositions(), draw_input()
    with torch.no_grad():
        held = model.owner.shares()
        before = model.layer(x, held)
        move_positions(model)
        assert torch.equal(model.layer(x, held), before)
        torch.testing.assert_close(model(x), truth(model, x))
        assert torch.equal(model.layer(x, held), before)


def test_a_layer_follows_the_owner_whose_shares_it_is_handed():
    first, second, x = SharedPositions(), SharedPositions(), draw_input()
    second.layer = first.layer
    third = copy.deepcopy(second)
    third.layer, third.owner.interpolation = first.layer, "triangle"
    with torch.no_grad():
        for model in (first, second, third, first):
            torch.testing.assert_close(model(x), truth(model, x))


def test_layers_of_one_owner_do_not_disturb_each_other(builds):
    model, x = SharedPositions(), draw_input()
    other = copy.deepcopy(model.layer)
    other.weight.data.neg_()
    with torch.no_grad():
        for _ in range(2):
            shares = model.owner.shares()
            torch.testing.assert_close(
                model.layer(x, shares) + other(x, shares),
                2 * model.layer.bias[:, None, None].expand(2, 4, 3, 4),
            )
    assert len(builds) == 2


def test_parameters_that_are_not_numbers_are_not_taken_for_unchanged():
    model, x = OwnPositions(), draw_input()
    with torch.no_grad():
        model.layer.weight[0] = float("nan")
        for _ in range(2):
            assert model(x)[:, 0].isnan().all()
            assert model(x)[:, 1:].isfinite().all()


def given(layer: DclsNd) -> dict[str, Tensor]:
    spread = draw_elements(layer.kernel_size, layer.interpolation, shape=layer.weight.shape)
    return {k: v.detach() for k, v in spread._asdict().items()} | {"bias": layer.bias.detach()}


@each_mode
@each_axes
def test_parameters_given_from_outside_are_used_and_forgotten(axes, mode):
    layer, x = OwnPositions(axes).layer, draw_input(axes).detach()
    parameters = given(layer)
    other = copy.deepcopy(layer)
    other.load_state_dict(parameters)
    with mode():
        before = layer(x)
        torch.testing.assert_close(functional_call(layer, parameters, (x,)), other(x))
        assert torch.equal(layer(x), before)


@pytest.mark.parametrize("groups", [1, 4])
@each_axes
def test_function_transforms_see_through_the_cache(axes, groups):
    layer = draw_layer(axes, groups=groups, interpolation="gaussian").eval()
    x, parameters = draw_input(axes).detach(), {k: v.detach() for k, v in layer.named_parameters()}

    def loss(parameters: dict, x: Tensor = x) -> Tensor:
        return functional_call(layer, parameters, (x,)).square().sum()

    expected = dict(
        zip(
            parameters,
            torch.autograd.grad(layer(x).square().sum(), list(layer.parameters())),
            strict=True,
        )
    )
    for context in (nullcontext, torch.no_grad):
        with context():
            with torch.no_grad():
                cached = layer(x)
            torch.testing.assert_close(grad(loss)(parameters), expected)
            _, slope = jvp(loss, (parameters,), (expected,))
            torch.testing.assert_close(
                slope, sum(gradient.square().sum() for gradient in expected.values())
            )
            per_sample = vmap(grad(loss), in_dims=(None, 0))(parameters, x[:, None])
            summed = {name: gradients.sum(0) for name, gradients in per_sample.items()}
            torch.testing.assert_close(summed, expected)
            pairs = {name: torch.stack([value, value / 2]) for name, value in parameters.items()}
            torch.testing.assert_close(
                vmap(loss)(pairs)[1], loss({name: value / 2 for name, value in parameters.items()})
            )
            with torch.no_grad():
                assert torch.equal(layer(x), cached)


@pytest.mark.parametrize("groups", [1, 4])
def test_forward_mode_differentiation_sees_through_the_cache(groups):
    layer, x = draw_layer(groups=groups).eval().requires_grad_(False), draw_input().detach()
    weight, tangent = layer.weight.detach().clone(), torch.ones_like(layer.weight)
    layer(x)
    with forward_ad.dual_level():
        y = functional_call(layer, dict(weight=forward_ad.make_dual(weight, tangent)), (x,))
        slope = forward_ad.unpack_dual(y).tangent
    # The output is linear in the weight.
    moved = functional_call(layer, dict(weight=weight + tangent), (x,))
    torch.testing.assert_close(slope, moved - layer(x))


def test_threads_may_run_one_layer():
    model, x = OwnPositions(), draw_input().detach()
    wanted, wrong = truth(model, x).detach(), []

    def run() -> None:
        for _ in range(20):
            with torch.no_grad():
                if not torch.allclose(model(x), wanted):
                    wrong.append(True)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
