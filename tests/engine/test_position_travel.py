"""With `position_travel`, positions that are pulled one way end where was promised."""

import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import Runner
from torch import Tensor

from helpers.training import training
from mmdcls.checkpoint.resuming import differences
from mmdcls.dcls import ElementPositions, parameter_groups, scheduled_rates
from mmdcls.engine import DclsOptimWrapperConstructor, PositionTravel
from mmdcls.engine.position_travel import BOUNDED
from mmdcls.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"
RADIUS = 50
LR = 1e-2


@MODELS.register_module()
class Pulled(BaseModel):
    """Wants every position further up, whatever it has."""

    def __init__(self, sizes: dict) -> None:
        super().__init__()
        for name, size in sizes.items():
            self.add_module(name, ElementPositions(size, "gaussian", (1, 1, 2)))
        self.other = torch.nn.Linear(2, 2)

    def forward(self, inputs: list[Tensor], mode: str = "loss") -> dict[str, Tensor]:
        pulled = [parameter.sum() for parameter in self.parameters()]
        return dict(loss=-torch.stack(pulled).sum())


def config(tmp_path, schedulers=(), loop=None, hooks=None, sizes=None, optimizer="AdamW", **rule):
    paramwise = dict(rule.pop("paramwise", dict(position_travel=0.5)))
    cfg = training(tmp_path, [dict(type="mmdcls.PositionTravel")] if hooks is None else hooks)
    cfg.model = dict(type="Pulled", sizes=sizes or dict(a=(2 * RADIUS + 1, 7)))
    cfg.train_cfg = loop or dict(type="IterBasedTrainLoop", max_iters=300)
    if "max_epochs" in cfg.train_cfg:
        cfg.train_dataloader.sampler = dict(type="DefaultSampler", shuffle=True)
    cfg.param_scheduler = list(schedulers)
    cfg.optim_wrapper = dict(
        optimizer=dict(type=optimizer, lr=LR, weight_decay=0.05),
        constructor="mmdcls.DclsOptimWrapperConstructor",
        paramwise_cfg=paramwise,
        **rule,
    )
    cfg.default_hooks = dict(checkpoint=None, logger=None)
    return cfg


def way(cfg) -> dict[str, float]:
    """How far the positions of each owner went, in cells."""
    runner = Runner.from_cfg(cfg)
    start = {n: p.detach().clone() for n, p in runner.model.named_parameters()}
    runner.train()
    ways = {n: p.detach() - start[n] for n, p in runner.model.named_parameters()}
    for name, found in ways.items():
        if name.endswith(("positions", "sigma")):
            torch.testing.assert_close(found, found.mean().expand_as(found), rtol=1e-3, atol=1e-4)
    return {n.removesuffix(".positions"): w.mean().item() for n, w in ways.items() if "posi" in n}


BY_ITERATION = partial(dict, by_epoch=False)
SCHEDULES = {
    "constant": [],
    "warm-up and cosine": [
        BY_ITERATION(type="LinearLR", start_factor=1e-3, end=60),
        BY_ITERATION(type="CosineAnnealingLR", begin=60, end=300, eta_min=1e-5),
    ],
    "cosine with a floor relative to the rate": [
        BY_ITERATION(type="CosineAnnealingLR", end=200, eta_min_ratio=0.1)
    ],
    "poly": [BY_ITERATION(type="PolyLR", power=0.9, end=300, eta_min=1e-4)],
    "steps": [BY_ITERATION(type="MultiStepLR", milestones=[100, 250], gamma=0.1)],
    "exponential": [BY_ITERATION(type="ExponentialLR", gamma=0.98)],
    "restarts": [
        BY_ITERATION(
            type="CosineRestartLR", periods=[100, 200], restart_weights=[1, 0.5], eta_min=0
        )
    ],
    "one cycle": [BY_ITERATION(type="OneCycleLR", eta_max=0.1, total_steps=300)],
    "momentum, which is no rate": [BY_ITERATION(type="CosineAnnealingMomentum", end=300)],
}
EPOCHS = dict(type="EpochBasedTrainLoop", max_epochs=75)
BY_EPOCH = {
    "steps": [dict(type="MultiStepLR", milestones=[50, 70], by_epoch=True)],
    "warm-up by iteration": [
        BY_ITERATION(type="LinearLR", start_factor=0.01, end=30),
        dict(type="StepLR", step_size=20, by_epoch=True),
    ],
    "converted to iterations": [
        dict(type="LinearLR", start_factor=0.01, end=10, convert_to_iter_based=True),
        dict(type="CosineAnnealingLR", begin=10, end=75, T_max=65, convert_to_iter_based=True),
    ],
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_by_iteration(tmp_path, name):
    assert way(config(tmp_path, SCHEDULES[name]))["a"] == pytest.approx(0.5 * RADIUS, rel=0.02)


@pytest.mark.parametrize(("iterations", "leaps"), [(20, True), (30, False)])
def test_a_step_over_more_than_the_next_cell_is_said_once(tmp_path, iterations, leaps):
    """A way of 25 cells: in 20 iterations the rate is above a cell, in 30 below."""
    cfg = config(tmp_path, loop=dict(type="IterBasedTrainLoop", max_iters=iterations))
    cfg.model.sizes.b = (2 * RADIUS + 1, 9)
    runner = Runner.from_cfg(cfg)
    runner.train()
    log = next(Path(runner.log_dir).glob("*.log")).read_text()
    sentence = f"move by {0.5 * RADIUS / iterations:.3g} cells in one step"
    assert log.count(sentence) == log.count("cells in one step") == int(leaps)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        steps = [1.0] * iterations
        parameter_groups(runner.model, LR, 0.05, position_travel=0.5, schedule=steps)
    assert [sentence in str(warning.message) for warning in found] == [True] * leaps


OWN = {
    "constant": [1.0] * 300,
    "exponential": [0.98**step for step in range(300)],
    "cosine": scheduled_rates(
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300, 1e-4), 300
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_a_loop_of_ones_own_has_the_same_rate(tmp_path, name):
    cosine = [BY_ITERATION(type="CosineAnnealingLR", end=300, eta_min=1e-4)]
    runner = Runner.from_cfg(config(tmp_path, SCHEDULES.get(name, cosine)))
    runner.train()
    own = parameter_groups(runner.model, LR, 0.05, position_travel=0.5, schedule=OWN[name])
    of_positions = [
        next(group for group in groups if group.get("group_name") == "positions_101x7")
        for groups in (own, runner.optim_wrapper.param_groups)
    ]
    assert of_positions[0]["lr"] == pytest.approx(of_positions[1]["initial_lr"])


@pytest.mark.parametrize("name", BY_EPOCH)
def test_by_epoch(tmp_path, name):
    cfg = config(tmp_path, BY_EPOCH[name], dict(EPOCHS))
    assert way(cfg)["a"] == pytest.approx(0.5 * RADIUS, rel=0.02)


@pytest.mark.parametrize("optimizer", [name for name in BOUNDED if hasattr(torch.optim, name)])
def test_under_every_optimizer_of_the_table(tmp_path, optimizer):
    cfg = config(tmp_path, SCHEDULES["warm-up and cosine"], optimizer=optimizer)
    assert way(cfg)["a"] == pytest.approx(0.5 * RADIUS, rel=0.02)


def test_where_gradients_are_accumulated(tmp_path):
    cfg = config(tmp_path, SCHEDULES["poly"], accumulative_counts=7)
    assert way(cfg)["a"] == pytest.approx(0.5 * RADIUS, rel=0.02)


def test_where_gradients_are_clipped_and_rates_are_scaled_with_the_batch(tmp_path):
    cfg = config(tmp_path, SCHEDULES["poly"], clip_grad=dict(max_norm=0.01))
    cfg.auto_scale_lr = dict(enable=True, base_batch_size=16)
    assert way(cfg)["a"] == pytest.approx(0.5 * RADIUS, rel=0.02)


def test_whatever_the_rate_of_the_rest(tmp_path):
    cfg = config(tmp_path, SCHEDULES["warm-up and cosine"])
    cfg.optim_wrapper.optimizer.lr = 0.0
    assert way(cfg)["a"] == pytest.approx(0.5 * RADIUS, rel=0.02)


def test_a_schedule_that_tells_of_its_steps_tells_of_no_others(tmp_path, monkeypatch):
    told = Counter()
    printed = "mmengine.optim.scheduler.param_scheduler.print_log"
    monkeypatch.setattr(printed, lambda line, **_: told.update([line.partition(" to ")[0]]))
    schedule = [BY_ITERATION(type="PolyLR", end=10, verbose=True)]
    Runner.from_cfg(config(tmp_path, schedule)).train()
    # Positions are told of as often as the rest.
    assert len(set(told.values())) == 1 < len(told)


def test_every_kernel_has_its_own_radius_and_keys_of_positions_multiply(tmp_path):
    rates = {"slow.positions": 0.1, "weights": 0.1, "held": 0.0}
    keys = {key: dict(lr_mult=rate) for key, rate in rates.items()}
    paramwise = dict(position_travel=0.25, custom_keys=keys)
    names = ("a", "slow", "weights", "held")
    sizes = dict.fromkeys(names, (21, 21)) | dict(even=(5, 40), cell=(1, 1))
    found = way(config(tmp_path, SCHEDULES["steps"], sizes=sizes, paramwise=paramwise))
    alone = found.pop("cell")
    expected = dict(a=2.5, slow=0.25, weights=2.5, held=0.0, even=19.5 / 4)
    assert found == pytest.approx(expected, rel=0.02)
    # Nothing can move there; it learns as everything else.
    assert 0 < alone < 300 * LR


def recipes():
    """The schedules of our configs, each once."""
    found = {}
    for path in sorted(CONFIGS.glob("[!_]*/*.py")):
        cfg = Config.fromfile(path)
        schedule = dict(schedulers=cfg.param_scheduler, loop=dict(cfg.train_cfg))
        found.setdefault(repr(schedule), (path.stem, schedule))
    return dict(found.values())


RECIPES = recipes()


@pytest.mark.parametrize("name", RECIPES)
def test_by_the_schedules_of_our_configs(tmp_path, name):
    schedulers, loop = RECIPES[name].values()
    loop = {k: v for k, v in loop.items() if "interval" not in k and k != "val_begin"}
    # Of trainings by iteration every 400th; an epoch has four here.
    shorter = max(loop.get("max_iters", 0) // 400, 1)
    if "max_iters" in loop:
        loop = dict(type="IterBasedTrainLoop", max_iters=loop["max_iters"] // shorter)
    else:
        loop["type"] = "EpochBasedTrainLoop"
    short = []
    for scheduler in schedulers:
        scheduler = dict(scheduler)
        if not scheduler.get("by_epoch", True):
            for key, least in dict(begin=0, end=1).items():
                if key in scheduler:
                    scheduler[key] = max(scheduler[key] // shorter, least)
        short.append(scheduler)
    cfg = config(tmp_path, short, loop)
    assert way(cfg)["a"] == pytest.approx(0.5 * RADIUS, rel=0.02)


def test_every_kind_of_loop_is_among_them():
    kinds = {"max_epochs" in recipe["loop"] for recipe in RECIPES.values()}
    assert kinds == {True, False}


@pytest.mark.parametrize("name", ["warm-up and cosine", "poly", "one cycle"])
def test_a_resumed_training_goes_on_with_the_same_rates(tmp_path, name):
    rates = []

    def train(folder, iterations, resumed=None):
        cfg = config(folder, SCHEDULES[name])
        cfg.default_hooks.checkpoint = dict(type="CheckpointHook", by_epoch=False, interval=150)
        if resumed:
            cfg.resume, cfg.load_from = True, str(resumed / "iter_150.pth")
        runner = Runner.from_cfg(cfg)
        runner.train()
        rates.append(runner.optim_wrapper.get_lr()["lr"])
        return torch.load(folder / "iter_300.pth", weights_only=True)

    whole = train(tmp_path / "whole", 300)
    again = train(tmp_path / "again", 300, tmp_path / "whole")
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, again["state_dict"][key]), key
    assert rates[0] == rates[1]


def test_a_checkpoint_without_the_option_is_told_by_its_name_alone():
    now = dict(params=[0], position_travel=3.0, travel_is_settled=True)
    assert list(differences([dict(params=[0])], [now])) == ["it has no position_travel"]


def test_tools_bring_the_hook_and_others_are_told(tmp_path):
    from mmdcls.running.launch import run

    cfg = config(tmp_path, SCHEDULES["poly"], hooks=[])
    with pytest.raises(InputError, match="custom_hooks=.*PositionTravel"):
        Runner.from_cfg(cfg).train()
    cfg = config(tmp_path, SCHEDULES["poly"], hooks=[])
    run(cfg, "train")


@MODELS.register_module()
class PulledByOneOfSeveral(Pulled):
    def train_step(self, data, optim_wrapper):
        data = self.data_preprocessor(data, True)
        return super().train_step(data, optim_wrapper["one"])


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class Several:
    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict) -> None:
        self.build = DclsOptimWrapperConstructor(optim_wrapper_cfg, paramwise_cfg)

    def __call__(self, model: BaseModel) -> OptimWrapperDict:
        return OptimWrapperDict(one=self.build(model))


def several(tmp_path, paramwise):
    from mmdcls.running.runner import build_runner

    cfg = config(tmp_path, hooks=[], paramwise=paramwise)
    cfg.model.type = "PulledByOneOfSeveral"
    cfg.optim_wrapper.update(type="OptimWrapper", constructor="Several")
    return build_runner(cfg)


def test_several_optimizers_train_without_the_option_and_are_refused_with_it(tmp_path):
    several(tmp_path, dict(position_lr_mult=5.0)).train()
    with pytest.raises(InputError, match="several optimizers.* take position_lr_mult"):
        several(tmp_path, dict(position_travel=1.0)).train()


PLATEAU = [dict(type="ReduceOnPlateauLR", monitor="loss", by_epoch=True)]
SHORT = [BY_ITERATION(type="OneCycleLR", eta_max=0.1, total_steps=100)]
FLAT = [BY_ITERATION(type="OneCycleLR", total_steps=300)]
FLOOR = [BY_ITERATION(type="CosineAnnealingLR", end=300, eta_min=1.0)]


@pytest.mark.parametrize(
    "options, sentence",
    [
        (dict(optimizer="SGD"), "with SGD they depend on the gradient"),
        (dict(schedulers=PLATEAU), "follows the figures of validation"),
        (dict(schedulers=SHORT), "cannot follow OneCycleLR to the end"),
        (dict(schedulers=FLAT), "all 0 in a OneCycleLR without eta_max"),
        (dict(schedulers=FLOOR, stepped=False), "no ParamSchedulerHook steps it"),
        (dict(schedulers=FLOOR), "at least .* cells|makes it at least"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_computed_is_refused(tmp_path, options, sentence):
    options = dict(options)
    stepped = options.pop("stepped", True)
    cfg = config(tmp_path, **options)
    if not stepped:
        cfg.default_hooks.param_scheduler = None
    with pytest.raises(InputError, match=sentence):
        Runner.from_cfg(cfg).train()


@pytest.mark.parametrize(
    "paramwise, sentence",
    [
        (dict(position_travel=0), "position_travel=0 must be a number, above 0"),
        (dict(position_travel="far"), "position_travel='far' must be a number"),
        (dict(position_travel=1.0, position_lr_mult=5.0), "leave one out"),
    ],
    ids=str,
)
def test_bad_options_are_refused(tmp_path, paramwise, sentence):
    with pytest.raises(ValueError, match=sentence):
        Runner.from_cfg(config(tmp_path, paramwise=paramwise)).train()


def test_validation_and_test_need_no_travel(tmp_path):
    runner = Runner.from_cfg(config(tmp_path))
    PositionTravel().before_run(runner)
    assert isinstance(runner.optim_wrapper, dict)
