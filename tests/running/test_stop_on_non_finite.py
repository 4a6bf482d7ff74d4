"""A NaN or an infinity in a DCLS parameter, or in its gradient, ends training and is named."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS
from mmengine.runner import Runner

from helpers.training import BACKBONE, training
from mmdcls.errors import TrainingError
from mmdcls.models.convnext import Stage
from mmdcls.running.launch import run

VALUES = pytest.mark.parametrize("value", [math.nan, -math.inf])
KINDS = {math.nan: "NaN", -math.inf: "infinity"}
PARAMETERS = pytest.mark.parametrize(
    "name",
    [
        "stages.1.positions",
        "stages.1.sigma",
        "stages.3.0.dwconv.weight",
        "stages.3.1.dwconv.bias",
    ],
)


HOOK = dict(type="mmdcls.StopOnNonFinite")
GAUSSIAN = {"model.backbone.interpolation": "gaussian"}


def new_runner(tmp_path: Path, *hooks: dict, **options) -> Runner:
    hooks = [dict(type="mmdcls.ClampPositions"), HOOK, *hooks]
    return Runner.from_cfg(training(tmp_path, hooks, {**GAUSSIAN, **options}))


@HOOKS.register_module()
class Spoil(Hook):
    """Put the value into a parameter, before the second iteration."""

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value = name, value

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        if runner.iter == 1:
            runner.model.get_parameter(self.name).data.view(-1)[-1] = self.value


@HOOKS.register_module()
class SpoilGradient(Hook):
    """From an iteration on, by default the second, put the value into a gradient."""

    def __init__(self, name: str, value: float, iteration: int = 1) -> None:
        self.name, self.value, self.iteration = name, value, iteration

    def before_train(self, runner: Runner) -> None:
        def spoil(gradient: torch.Tensor) -> torch.Tensor:
            spoiled = gradient.clone()
            if runner.iter >= self.iteration:
                spoiled.view(-1)[-1] = self.value
            return spoiled

        runner.model.get_parameter(self.name).register_hook(spoil)


SPOILED = dict(type="SpoilGradient", name="backbone.stages.0.positions", value=math.nan)


@VALUES
@PARAMETERS
def test_a_gradient_that_is_not_finite_stops_training(tmp_path, name, value):
    hook = dict(type="SpoilGradient", name=f"backbone.{name}", value=value)
    # Clipping, by a norm that is NaN, makes a NaN of every gradient.
    runner = new_runner(tmp_path, hook, **{"optim_wrapper.clip_grad": dict(max_norm=1.0)})
    found = f"iteration 2 .* {KINDS[value]} in the gradient of backbone.{name},"
    with pytest.raises(TrainingError, match=found):
        runner.train()


@VALUES
@PARAMETERS
def test_a_parameter_that_is_not_finite_stops_training(tmp_path, name, value):
    runner = new_runner(tmp_path, dict(type="Spoil", name=f"backbone.{name}", value=value))
    # Without a gradient, there is only the parameter to see it from, and clamping mends infinity.
    runner.model.get_parameter(f"backbone.{name}").requires_grad_(False)
    for parameter in runner.model.parameters():
        parameter.register_hook(torch.nan_to_num) if parameter.requires_grad else None
    found = f"iteration 2 .* {KINDS[value]} in backbone.{name},"
    with pytest.raises(TrainingError, match=found):
        runner.train()


def test_of_gradients_that_are_all_spoiled_the_one_computed_first_is_named(tmp_path):
    runner = new_runner(tmp_path)

    def spoil(module: Stage, given: tuple, maps: torch.Tensor) -> None:
        maps.register_hook(lambda gradient: gradient * math.nan)

    runner.model.backbone.stages[1].register_forward_hook(spoil)
    with pytest.raises(TrainingError, match=r"the gradient of backbone\.stages\.1\."):
        runner.train()


@VALUES
@PARAMETERS
def test_a_model_that_is_not_finite_from_the_start_is_named(tmp_path, name, value):
    runner = new_runner(tmp_path)
    with torch.no_grad():
        runner.model.get_parameter(f"backbone.{name}").view(-1)[0] = value
    found = f"Before training .* {KINDS[value]} in backbone.{name}:"
    with pytest.raises(TrainingError, match=found):
        runner.train()


def test_no_checkpoint_has_what_stopped_the_training(tmp_path):
    runner = new_runner(tmp_path, SPOILED)
    with pytest.raises(TrainingError):
        runner.train()
    assert not list(tmp_path.glob("*.pth"))


def test_training_that_is_well_or_has_no_such_layer_goes_on_and_nothing_stays_behind(tmp_path):
    plain = dict(type="Conv2d", in_channels=3, out_channels=4, kernel_size=3)
    for number, backbone in enumerate([BACKBONE, plain]):
        cfg = training(tmp_path / str(number), [HOOK])
        cfg.model.backbone = backbone
        runner = Runner.from_cfg(cfg)
        runner.train()
        assert runner.iter == 4
        parameters = runner.model.parameters()
        assert not any(parameter._post_accumulate_grad_hooks for parameter in parameters)


@OPTIM_WRAPPERS.register_module()
class ScaledOptimWrapper(OptimWrapper):
    """mmengine's AmpOptimWrapper, as far as the scale goes, which needs a GPU."""

    def __init__(self, scale: float, **others) -> None:
        super().__init__(**others)
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=scale)

    def backward(self, loss: torch.Tensor, **others) -> None:
        self.loss_scaler.scale(loss).backward(**others)
        self._inner_count += 1

    def step(self, **others) -> None:
        self.loss_scaler.step(self.optimizer, **others)
        self.loss_scaler.update()


def test_a_gradient_that_overflows_for_its_scale_is_skipped_until_the_scale_is_not_the_cause(
    tmp_path,
):
    options = {"optim_wrapper.type": "ScaledOptimWrapper", "optim_wrapper.scale": 4.0}
    runner = new_runner(tmp_path, {**SPOILED, "value": math.inf, "iteration": 0}, **options)
    # It is halved with every step that is skipped.
    with pytest.raises(TrainingError, match="iteration 3 .* gradient of backbone.stages.0.pos"):
        runner.train()


def test_the_program_ends_with_the_sentence(tmp_path):
    with pytest.raises(SystemExit, match="NaN in the gradient of backbone.stages.0.positions"):
        run(training(tmp_path, [HOOK, SPOILED]), "train")
