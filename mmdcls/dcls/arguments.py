"""What arguments may be. Every refusal is a ValueError, one sentence with the argument's name."""

import sys
from collections.abc import Callable, Collection, Sequence
from numbers import Integral, Real

# Of channels, elements and cells; beyond, sizes of tensors overflow before memory is asked for.
LARGEST = 2**20


def is_whole(value: object) -> bool:
    # Every forward pass asks, and Integral takes its time to answer.
    return type(value) is int or isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a number that a float can hold, neither infinite nor NaN."""
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    return is_real and abs(value) <= sys.float_info.max


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """most: None for what only counts, such as iterations."""
    if not is_whole(value) or value < least or (most is not None and value > most):
        limit = "" if most is None else f" and at most {most}"
        raise ValueError(f"{name}={value!r} must be a whole number of at least {least}{limit}")


def check_number(name: str, value: object, allowed: str, fits: Callable[[float], bool]) -> None:
    """allowed: what `fits` asks, to go on after "must be a number, "."""
    if not is_number(value) or not fits(value):
        raise ValueError(f"{name}={value!r} must be a number, {allowed}")


def check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r} must be True or False")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(choices)}")


def check_text(name: str, value: object, allowed: str) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}={value!r} must be text, {allowed}")


def per_axis(name: str, value: int | Sequence[int], axes: int, least: int) -> tuple[int, ...]:
    """One whole number for every axis, from one for all or one for each."""
    values = (value,) * axes if is_whole(value) else value
    fits = (
        isinstance(values, Sequence)
        and not isinstance(values, (str, bytes))
        and len(values) == axes
    )
    if not fits or not all(is_whole(item) and least <= item <= LARGEST for item in values):
        raise ValueError(
            f"{name}={value!r} must be a whole number of at least {least} and at most {LARGEST}, "
            f"or {axes} of them"
        )
    return tuple(map(int, values))
