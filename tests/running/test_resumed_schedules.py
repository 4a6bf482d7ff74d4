"""What a resumed schedule keeps, and where a schedule ends before training does, is said."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from helpers.provocations import expect
from helpers.training import training
from mmdcls.checkpoint.schedules import (
    refuse_equal_rates,
    warn_of_early_end,
    warn_of_kept_schedule,
)
from mmdcls.errors import InputError
from mmdcls.running.hooks import CheckInputs
from mmdcls.running.runner import build_runner

BY_ITERATION = dict(by_epoch=False)
# A scheduler, what the config changes of it, and what is said.
CHANGES = [
    (dict(type="PolyLR", end=4), dict(end=8), ("PolyLR has end=4", "has end=8")),
    (dict(type="PolyLR", end=4), dict(eta_min=0.1, power=2.0), ("eta_min=0.1, power=2.0",)),
    (dict(type="MultiStepLR", milestones=[2, 3]), dict(milestones=[2, 4]), ("[2, 3]", "[2, 4]")),
    (dict(type="StepLR", step_size=2), dict(step_size=3, gamma=0.2), ("gamma=0.1", "step_size=3")),
    (dict(type="ExponentialLR", gamma=0.9), dict(gamma=0.8), ("gamma=0.9", "gamma=0.8")),
    (dict(type="CosineAnnealingLR", T_max=4), dict(T_max=8), ("T_max=4", "T_max=8")),
    (dict(type="LinearLR", start_factor=0.1), dict(start_factor=0.2), ("=0.1", "=0.2")),
    (dict(type="LinearLR", end=4), dict(begin=2), ("begin=0", "begin=2")),
    (dict(type="ConstantLR", factor=0.1), dict(factor=0.5), ("factor=0.1", "factor=0.5")),
    (dict(type="OneCycleLR", eta_max=1, total_steps=4), dict(total_steps=8), ("total_steps=4",)),
    (
        dict(type="CosineRestartLR", periods=[2, 2], restart_weights=[1, 1], eta_min=0),
        dict(periods=[2, 4]),
        ("periods=[2, 2]", "periods=[2, 4]"),
    ),
    (dict(type="PolyLR", end=4), dict(by_epoch=True), ("by_epoch=False", "by_epoch=True")),
    (dict(type="PolyLR", end=4), dict(type="CosineAnnealingLR", T_max=4), ("nothing has T_max",)),
]


def scheduler(type: str, groups: int = 1, **options) -> _ParamScheduler:
    layers = [dict(params=nn.Linear(1, 1).parameters()) for _ in range(groups)]
    optimizer = torch.optim.SGD(layers, lr=0.1, momentum=0.9)
    return PARAM_SCHEDULERS.get(type)(optimizer, **{**BY_ITERATION, **options})


def said_of(schedulers: object, checkpoint: dict) -> list[str]:
    said = []
    logger = SimpleNamespace(warning=said.append)
    runner = SimpleNamespace(param_schedulers=schedulers, logger=logger)
    warn_of_kept_schedule("the checkpoint a.pth", checkpoint, runner)
    return said


def saved(*states: dict) -> dict:
    return dict(param_schedulers=list(states))


@pytest.mark.parametrize(("given", "change", "words"), CHANGES)
@pytest.mark.parametrize("many", [False, True])
def test_every_option_that_is_not_taken_up_is_said(given, change, words, many):
    trained, own = scheduler(**given), scheduler(**{**given, **change})
    trained.optimizer.step()
    trained.step()
    checkpoint = saved(trained.state_dict())
    unchanged = scheduler(**given)
    assert not said_of([unchanged], checkpoint)
    if many:  # of several optimisers
        checkpoint = dict(param_schedulers=dict(a=[], b=checkpoint["param_schedulers"]))
    (sentence,) = said_of(dict(a=[], b=[own]) if many else [own], checkpoint)
    expect((*words, "goes on with the schedule of the checkpoint a.pth", "load_from"), sentence)


def test_what_is_added_left_out_and_not_saved_is_said():
    one = scheduler(type="PolyLR", end=4)
    states = one.state_dict(), scheduler(type="LinearLR").state_dict()
    (sentence,) = said_of([one], saved(*states))
    expect(("there are 2 schedulers", "which has 1"), sentence)
    for none in ([], None):
        (sentence,) = said_of(none, saved(*states))
        expect(("there are 2 schedulers", "which has 0"), sentence)
        assert not said_of(none, {})
    (sentence,) = said_of([one], {})
    expect(("begins the schedule of the config anew", "save_param_scheduler=False"), sentence)


WARM_UP = dict(type="LinearLR", start_factor=0.1, end=2)
# What a run has, of 8 iterations or, in two of them, 2 epochs, and words of what is said, if any.
ENDS = [
    ([dict(type="PolyLR", end=4)], ("PolyLR ends at iteration 4", "at 8", "rate is 0")),
    ([WARM_UP, dict(type="PolyLR", begin=2, end=4)], ("iteration 4",)),
    ([dict(WARM_UP, end=9), dict(type="PolyLR", end=4)], ("iteration 4",)),
    ([dict(type="CosineAnnealingLR", T_max=4, end=4, eta_min=0.1)], ("rate stays as it is",)),
    ([dict(type="MultiStepLR", milestones=[1], end=1, by_epoch=True)], ("ends at epoch 1", "at 2")),
    ([dict(type="PolyLR", end=2, by_epoch=True)], None),
    ([dict(type="PolyLR", end=8)], None),
    ([dict(type="PolyLR", end=16)], None),
    ([dict(type="StepLR", step_size=2)], None),
    ([WARM_UP], None),
    ([dict(type="ConstantLR", factor=0.1, end=2)], None),
    # As YOLOX ends.
    ([dict(type="PolyLR", end=6), dict(type="ConstantLR", factor=1, begin=6, end=8)], None),
    ([dict(type="PolyMomentum", end=4)], None),
    ([], None),
]


@pytest.mark.parametrize(("given", "words"), ENDS)
@pytest.mark.parametrize(
    ("is_resumed", "advice"), [(False, "the length of training"), (True, "load_from")]
)
def test_a_schedule_that_ends_before_training_is_said(given, words, is_resumed, advice):
    said = []
    runner = SimpleNamespace(
        param_schedulers=[scheduler(**options) for options in given],
        logger=SimpleNamespace(warning=said.append),
        max_iters=8,
        max_epochs=2,
    )
    warn_of_early_end(runner, is_resumed)
    assert len(said) == bool(words)
    for sentence in said:
        expect((*words, advice), sentence)


CYCLE = dict(type="OneCycleLR", eta_max=1, total_steps=4)


@pytest.mark.parametrize(
    ("given", "rule", "is_refused"),
    [
        (CYCLE, dict(position_lr_mult=5.0, decay_rate=0.9), True),
        (CYCLE, dict(position_travel=1.0), False),
        (CYCLE, None, False),
        ({**CYCLE, "eta_max": [1, 5]}, dict(position_lr_mult=5.0, decay_rate=0.9), False),
        (dict(type="PolyLR", end=4), dict(position_lr_mult=5.0), False),
    ],
)
def test_a_schedule_that_gives_all_one_rate_is_refused(given, rule, is_refused):
    runner = SimpleNamespace(
        param_schedulers=[scheduler(**given, groups=2)],
        cfg=dict(optim_wrapper=dict(paramwise_cfg=rule)),
    )
    if not is_refused:
        return refuse_equal_rates(runner)
    words = "OneCycleLR .* decay_rate, position_lr_mult: .* each of the 2 groups.*position_travel"
    with pytest.raises(InputError, match=words):
        refuse_equal_rates(runner)


@pytest.fixture
def run(tmp_path):
    """Trains to an iteration with a schedule to another, and returns what was logged."""

    def train(iterations: int, end: int, hooks: tuple[dict, ...] = (), **options) -> str:
        cfg = training(tmp_path / "work", list(hooks), {"train_cfg.max_iters": iterations})
        cfg.param_scheduler = [dict(type="PolyLR", end=end, by_epoch=False)]
        cfg.update(options)
        runner = build_runner(cfg)
        runner.register_hook(CheckInputs())
        runner.train()
        return (tmp_path / "work" / runner.timestamp / f"{runner.timestamp}.log").read_text()

    return train


def test_a_longer_schedule_that_is_not_taken_up_is_said_by_the_tools_hook(run, tmp_path):
    assert " ends at iteration" not in run(4, 4)
    assert "leaves the schedule as it was, or give the file as load_from" in run(4, 4, resume=True)
    log = run(6, 6, resume=True)
    assert f"with the schedule of the checkpoint {tmp_path}/work/iter_4.pth, in which" in log
    assert "PolyLR ends at iteration 4, and training at 6" in log


EMA = dict(type="EMAHook", momentum=0.5)


def test_averages_are_not_resumed_as_weights(run):
    run(2, 4, (EMA,))
    with pytest.raises(ValueError) as refused:
        run(4, 4, resume=True)
    expect(("iter_2.pth holds averages (EMAHook)", "no EMAHook", "load_from"), str(refused.value))
    assert "resumed epoch: 0, iter: 2" in run(4, 4, (EMA,), resume=True)
