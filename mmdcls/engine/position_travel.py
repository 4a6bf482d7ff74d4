"""The rate with which positions can travel a given way in a given training."""

import copy
from collections.abc import Sequence
from types import SimpleNamespace

from mmengine.hooks import Hook, ParamSchedulerHook
from mmengine.optim import (
    OptimWrapper,
    OptimWrapperDict,
    ReduceOnPlateauParamScheduler,
    _ParamScheduler,
)
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner
from torch.optim import Optimizer

from mmdcls.dcls.travel import leap, travel_factor
from mmdcls.errors import InputError
from mmdcls.registry import HOOKS

# Of these a step is at most about as long as the rate, and as long where gradients keep their sign.
BOUNDED = ("Adam", "AdamW", "Adamax", "NAdam", "Lion")
# For schedules that give positions the rate of the rest.
REMEDY = "and all 0 in a OneCycleLR without eta_max: give it one, or take another scheduler"
# What OneCycleLR keeps in a group of its own, beside the rate and the initial one.
RATES = ("lr", "initial_lr", "max_lr", "min_lr")


@HOOKS.register_module()
class PositionTravel(Hook):
    """Give positions the rate that `paramwise_cfg.position_travel` asks for.

    `DclsOptimWrapperConstructor` knows the way, in cells, and not the schedule; this does, before
    the first iteration, from the schedulers, the number of iterations and how many of them end in a
    step of the optimiser. A resumed training has the rates of its checkpoint. `mmdcls train` brings
    this hook; other programs need it in custom_hooks.

    Raises InputError where a step of the optimiser is not bounded by its rate, or where the
    schedule depends on more than the iteration.
    """

    # Before whatever reads the rates, and as every before_run before a checkpoint is resumed.
    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        wrapper = runner.optim_wrapper
        # A config, in a test; or several, which `refuse_unsettled` answers.
        if not isinstance(wrapper, OptimWrapper) or isinstance(wrapper, OptimWrapperDict):
            return
        optimizer = wrapper.optimizer
        unsettled = [group for group in optimizer.param_groups if is_unsettled(group)]
        if not unsettled:
            return
        check_bounded(optimizer)
        schedulers = [s for s in runner.param_schedulers or () if s.param_name == "lr"]
        check_known(schedulers)
        check_stepped(schedulers, runner.hooks)
        steps = Steps(runner.train_loop, wrapper._accumulative_counts)
        highest = 0.0
        for group in unsettled:
            index = optimizer.param_groups.index(group)
            highest = max(highest, settle(group, index, schedulers, steps))
            runner.logger.info(
                f"{group['group_name']}: rate {group['initial_lr']:.3g}, with which a position can "
                f"travel {group['position_travel']:.3g} cells in {runner.max_iters} iterations"
            )
        if sentence := leap(highest):
            runner.logger.warning(f"paramwise_cfg.{sentence}")


class Steps:
    """The iterations of a training loop: which of them step the optimiser and the schedulers."""

    def __init__(self, loop: BaseLoop, accumulative_counts: int) -> None:
        self.iterations = loop.max_iters
        # The epoch of a loop by iterations ends with the training.
        by_iterations = isinstance(loop, IterBasedTrainLoop)
        self.epoch = self.iterations if by_iterations else len(loop.dataloader)
        self.accumulative_counts = accumulative_counts

    def optimizer_steps(self, done: int) -> bool:
        return done % self.accumulative_counts == 0 or done == self.iterations

    def schedulers_step(self, done: int, by_epoch: bool) -> bool:
        return not by_epoch or done % self.epoch == 0


def is_unsettled(group: dict) -> bool:
    return "position_travel" in group and not group.get("travel_is_settled")


def refuse_unsettled(optimizer: Optimizer, arguments: tuple, options: dict) -> None:
    """As a hook of the optimiser's steps: no training with a rate that nobody has set."""
    if any(map(is_unsettled, optimizer.param_groups)):
        raise InputError(
            "paramwise_cfg.position_travel needs to know the schedule: train by "
            "`mmdcls train`, or add custom_hooks=[dict(type='mmdcls.PositionTravel')]; with "
            "several optimizers, which step as their model likes, take position_lr_mult"
        )


def check_bounded(optimizer: Optimizer) -> None:
    kind = type(optimizer).__name__
    if kind not in BOUNDED:
        raise InputError(
            f"paramwise_cfg.position_travel needs an optimizer whose steps are as long as its rate "
            f"({', '.join(BOUNDED)}), and with {kind} they depend on the gradient: take one of "
            f"these, or position_lr_mult"
        )


def check_known(schedulers: Sequence[_ParamScheduler]) -> None:
    for scheduler in schedulers:
        if isinstance(scheduler, ReduceOnPlateauParamScheduler):
            raise InputError(
                f"paramwise_cfg.position_travel needs a schedule that is known before training, "
                f"and {type(scheduler).__name__} follows the figures of validation: take another "
                f"scheduler, or position_lr_mult"
            )


def check_stepped(schedulers: Sequence[_ParamScheduler], hooks: Sequence[Hook]) -> None:
    if schedulers and not any(isinstance(hook, ParamSchedulerHook) for hook in hooks):
        raise InputError(
            "paramwise_cfg.position_travel follows param_scheduler, and no ParamSchedulerHook "
            "steps it: take param_scheduler=None out of default_hooks, or leave out the schedule"
        )


def settle(group: dict, index: int, schedulers: Sequence[_ParamScheduler], steps: Steps) -> float:
    """Set the rates of a group, and what its schedulers know of them; returns the highest."""
    rates_of = {}

    def way(factor: float) -> float:
        found, *rates_of[factor] = trained(scaled(group, factor), index, schedulers, steps)
        return found

    names = ", ".join(type(scheduler).__name__ for scheduler in schedulers)
    try:
        factor = travel_factor(group["position_travel"], way, names, REMEDY)
    except ValueError as error:
        text = str(error)
        if not text.startswith("position_travel"):
            # A schedule that ends before the training does.
            text = f"position_travel cannot follow {names} to the end of the training ({error})"
        raise InputError(f"paramwise_cfg.{text}") from None
    rates = scaled(group, factor)
    start, highest = rates_of[factor]
    group.update(rates, lr=start, initial_lr=rates["lr"], travel_is_settled=True)
    for scheduler in schedulers:
        scheduler.base_values[index] *= factor
    return highest


def scaled(group: dict, factor: float) -> dict:
    """The rates of a group, as before the schedulers began, with another initial rate."""
    rates = {name: group[name] * factor for name in RATES if name in group}
    return rates | dict(lr=rates.get("initial_lr", rates["lr"]))


def trained(
    rates: dict, index: int, schedulers: Sequence[_ParamScheduler], steps: Steps
) -> tuple[float, float, float]:
    """The sum of the rates of all steps of a training, the first rate and the highest of a step."""
    group = dict(rates)
    counted = SimpleNamespace(_with_counter=True)
    optimizer = SimpleNamespace(param_groups=[group], step=counted, _global_step=0)
    played = []
    for scheduler in schedulers:
        copied = copy.copy(scheduler)
        copied.optimizer, copied.base_values = optimizer, [rates["lr"]]
        copied.last_step = copied._global_step = -1
        copied.verbose = False
        copied.step()
        played.append(copied)
    way, start, highest = 0.0, group["lr"], 0.0
    for done in range(1, steps.iterations + 1):
        if steps.optimizer_steps(done):
            way, highest = way + group["lr"], max(highest, group["lr"])
        for scheduler in played:
            if steps.schedulers_step(done, scheduler.by_epoch):
                scheduler.step()
    return way, start, highest
