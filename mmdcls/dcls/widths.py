"""The widths of all elements of a model, by schedule."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import nn

from .arguments import check_choice, check_number
from .elements import ElementPositions, position_owners
from .interpolation import get_interpolation

# (sigma at begin, sigma at end, progress from 0 to 1) -> sigma
WIDTH_CURVES: dict[str, Callable[[float, float, float], float]] = {
    "geometric": lambda first, last, progress: first * (last / first) ** progress,
    "linear": lambda first, last, progress: first + (last - first) * progress,
    "cosine": lambda first, last, progress: (
        last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
    ),
}


@torch.no_grad()
def anneal_width_(
    model: nn.Module, progress: float, from_width: float, to_width: float, kind: str = "geometric"
) -> None:
    """Give every element the width of a schedule, as when delays are learned (arXiv 2306.17670).

    Call it before each forward pass, and once when training is over: what the optimiser has done to
    sigma in between is undone. Sigma that is frozen stays what it is.

    progress: the part of the schedule that is done, from 0 to 1; the width is from_width before and
        to_width after.
    from_width, to_width: in cells, as the kernel uses them, |sigma| + the interpolation's floor.
    kind: "geometric" multiplies sigma, the part above the floor, by the same factor in every equal
        part of the schedule, as published; "linear" and "cosine" have the curves of learning rates.

    Raises ValueError where the model has no sigma that learns, or a width is below its floor.
    """
    check_number("progress", progress, "the part that is done", lambda value: True)
    widths = dict(from_width=from_width, to_width=to_width)
    for owner in checked_owners("anneal_width_", model, widths, kind):
        sigma = sigma_at(progress, from_width, to_width, owner.interpolation, kind)
        owner.sigma.fill_(sigma)


@torch.no_grad()
def set_width_(model: nn.Module, width: float) -> None:
    """Give every element this width in cells, |sigma| + the interpolation's floor.

    Sigma that is frozen stays what it is. Raises ValueError as `anneal_width_`.
    """
    for owner in checked_owners("set_width_", model, dict(width=width), "linear"):
        owner.sigma.fill_(width - get_interpolation(owner.interpolation).width_floor)


def sigma_at(
    progress: float, from_width: float, to_width: float, interpolation: str, kind: str
) -> float:
    """What is stored when this part of a schedule is done."""
    floor = get_interpolation(interpolation).width_floor
    first, last = from_width - floor, to_width - floor
    if progress <= 0:
        return first
    return last if progress >= 1 else WIDTH_CURVES[kind](first, last, progress)


def width_owners(model: nn.Module) -> dict[str, ElementPositions]:
    """Every module that owns a sigma which is not frozen, by name."""
    return {
        name: owner
        for name, owner in position_owners(model).items()
        if owner.sigma is not None and owner.sigma.requires_grad
    }


def checked_owners(
    function: str, model: nn.Module, widths: Mapping[str, float], kind: str
) -> list[ElementPositions]:
    check_kind_and_widths(kind, widths)
    owners = width_owners(model)
    if not owners:
        raise ValueError(
            f"{function} finds no sigma that is not frozen in {type(model).__name__}; use layers "
            f"with interpolation='gaussian' or 'triangle'"
        )
    for name, owner in owners.items():
        check_floor(name, owner.interpolation, widths, kind)
    return list(owners.values())


def check_kind_and_widths(kind: str, widths: Mapping[str, float]) -> None:
    for name, width in widths.items():
        check_number(name, width, "above 0, in cells", lambda value: value > 0)
    check_choice("kind", kind, WIDTH_CURVES)


def check_floor(owner: str, interpolation: str, widths: Mapping[str, float], kind: str) -> None:
    """Raises ValueError where a width is below the interpolation's floor.

    owner: the name of the module whose widths they shall be.
    """
    floor = get_interpolation(interpolation).width_floor
    for name, width in widths.items():
        if width < floor or (width == floor and kind == "geometric"):
            limit = f"{'more than' if kind == 'geometric' else 'at least'} {floor}"
            raise ValueError(
                f"{name}={width} is too narrow for {owner or 'the model'}: "
                f"interpolation={interpolation!r} with kind={kind!r} needs {limit}"
            )
