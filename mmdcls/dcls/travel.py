"""The rate with which positions can travel a given way in a given training."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from .arguments import check_whole, is_number

# In cells. From one cell to the next a kernel follows a position smoothly, and no gradient knows
# what lies further: a longer step is a leap in the dark.
LONGEST_STEP = 1.0
# No schedule stays below a tenth of the initial rate; rates themselves do.
LEAST_FACTOR = 0.1


def leap(rate: float) -> str | None:
    """A sentence where the highest rate of a training lets positions leap over cells."""
    if rate <= LONGEST_STEP:
        return None
    return (
        f"position_travel lets a position move by {rate:.3g} cells in one step, and its gradient "
        f"knows of the next cell alone: train for more iterations, or ask for a shorter way"
    )


# What makes the schedules of torch that have one rate for all groups follow each group's own.
EACH_ITS_OWN = (
    "as OneCycleLR's are where max_lr is one number: give it those of the groups, "
    "max_lr=[group['lr'] for group in optimizer.param_groups], or take another scheduler"
)


def travel_factor(
    wanted: float,
    way: Callable[[float], float],
    schedule: str = "this schedule",
    remedy: str = EACH_ITS_OWN,
) -> float:
    """What to multiply an initial rate with, so that the rates of all steps sum up to a way.

    way: from the factor to the sum. Schedules multiply the initial rate and add what does not
        depend on it (a floor), so that it is a constant plus a multiple of the factor.
    schedule, remedy: what the error calls it, and what to do where its rates are its own.

    Raises ValueError where no factor gives the way that is wanted.
    """
    once, twice = way(1), way(2)
    if once == twice:
        raise ValueError(
            f"position_travel cannot change {schedule}: its rates are the same whatever the "
            f"initial rate, {remedy}"
        )
    least = 2 * once - twice
    factor = (wanted - least) / (once - least) if once > least else 0.0
    if factor <= 0:
        raise ValueError(
            f"position_travel asks for a way of {wanted:.3g} cells, and the schedule makes it at "
            f"least {least:.3g} whatever the rate: lower its eta_min, or ask for more"
        )
    if not math.isclose(way(factor), wanted, rel_tol=1e-6):
        raise ValueError(
            f"position_travel cannot tell how far positions travel with {schedule}: its rates do "
            f"not follow the initial rate; take position_lr_mult"
        )
    return factor


def travel_rate(
    wanted: float, schedule: Sequence[float] | Callable[[float], Sequence[float]]
) -> float:
    """The initial rate with which a position can travel so many cells in the whole training.

    schedule: as of `parameter_groups`. Raises ValueError where there is no such rate.
    """
    if callable(schedule):
        return travel_factor(wanted, lambda lr: sum(schedule(lr)))
    factors = list(schedule) if isinstance(schedule, Iterable) else []
    if not all(is_number(factor) and factor >= 0 for factor in factors) or not any(factors):
        raise ValueError(
            "schedule must be numbers of at least 0, not all of them 0, or a function from an "
            "initial rate to the rates of all steps: what each step's rate is of the initial one"
        )
    if max(factors) < LEAST_FACTOR:
        raise ValueError(
            f"schedule must be what each step's rate is of the initial one, and the highest of "
            f"these numbers is {max(factors):.3g}: divide rates by the initial rate"
        )
    return wanted / sum(factors)


def highest_rate(
    lr: float, schedule: Sequence[float] | Callable[[float], Sequence[float]]
) -> float:
    """Of all steps, with an initial rate."""
    return max(schedule(lr)) if callable(schedule) else lr * max(schedule)


def scheduled_rates(
    scheduler: Callable[[Optimizer], LRScheduler], steps: int
) -> Callable[[float], list[float]]:
    """From an initial rate to the rates of all steps, by a scheduler of torch that steps with each.

    scheduler: makes it for an optimiser, as in
        lambda optimizer: CosineAnnealingLR(optimizer, T_max=steps)

    Raises ValueError for one that follows figures of the training, or is of another optimiser.
    """
    check_whole("steps", steps, least=1)
    if not callable(scheduler):
        raise ValueError(
            f"scheduler={scheduler!r} must be a function that makes one for an optimiser, such as "
            f"lambda optimizer: StepLR(optimizer, 10)"
        )

    def rates(lr: float) -> list[float]:
        # Without a gradient it steps and moves nothing.
        optimizer = Adam([nn.Parameter(torch.zeros(()))], lr)
        schedule = scheduler(optimizer)
        if isinstance(schedule, ReduceLROnPlateau):
            raise ValueError(
                "schedule must be known before training, and ReduceLROnPlateau follows its "
                "figures: take another scheduler, or position_lr_mult"
            )
        if getattr(schedule, "optimizer", optimizer) is not optimizer:
            raise ValueError(
                "scheduler must make one for the optimizer that it is given, and this one is of "
                "another: make it inside, as in lambda optimizer: StepLR(optimizer, 10)"
            )
        found = []
        for _ in range(steps):
            found.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.step()
        return found

    return rates
