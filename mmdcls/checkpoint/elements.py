"""What every DCLS layer of a model takes from a checkpoint: elements, or a dense kernel."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmdcls.dcls import clamp_positions_, position_owners
from mmdcls.dcls.dense_loading import relative_errors
from mmdcls.dcls.dense_loading import take_dense as elements_of
from mmdcls.dcls.elements import PLACES
from mmdcls.dcls.fit import Fit
from mmdcls.dcls.groups import PositionGroup, position_groups, stage_of
from mmdcls.errors import InputError

# The default start.
PUBLISHED = "normal"


def interpolation_of(module: nn.Module) -> str | None:
    """The interpolation of the model's DCLS layers, None where there are none."""
    found = {owner.interpolation for owner in position_owners(module).values()}
    if len(found) > 1:
        raise InputError(f"The model mixes interpolations, {', '.join(sorted(found))}: load parts.")
    return found.pop() if found else None


def adapt(
    weights: Mapping[str, Tensor], module: nn.Module
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Weights by our names -> the same for this model's groups, and relative errors by stage.

    Positions and sigma move to who owns them in the model and are clamped to its kernel; dense
    kernels become elements (see `mmdcls.dcls.fit`), whose errors are given where there are any.

    Raises InputError where layers that share positions in the model have different ones in the
    checkpoint, or where a dense kernel does not fit.
    """
    result = by_layer(weights)
    squares: dict[str, list[float]] = {}
    for group in position_groups(module):
        dims = {result[f"{layer}.weight"].dim() for layer in group.layers if is_in(result, layer)}
        if dims == {2 + len(group.owner.kernel_size)}:
            fit = take_dense(result, group)
            sums = squares.setdefault(stage_of(group.name), [0.0, 0.0])
            sums[0] += fit.residual**2
            sums[1] += fit.norm**2
        else:
            take_positions(result, group)
    return result, relative_errors(squares)


def is_in(weights: Mapping[str, Tensor], layer: str) -> bool:
    return f"{layer}.weight" in weights


def by_layer(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Positions that belong to a stage in the checkpoint, given to each of its layers."""
    result = dict(weights)
    for name, value in weights.items():
        owner, _, kind = name.rpartition(".")
        if kind not in PLACES or is_in(weights, owner):
            continue
        del result[name]
        for other, weight in weights.items():
            layer, _, last = other.rpartition(".")
            is_below = layer.startswith(f"{owner}.") and last == "weight"
            if is_below and weight.shape == value.shape[1:]:
                result[f"{layer}.{kind}"] = value
    return result


def take_positions(weights: dict[str, Tensor], group: PositionGroup) -> None:
    for kind in PLACES:
        found = {
            layer: weights.pop(f"{layer}.{kind}")
            for layer in group.layers
            if f"{layer}.{kind}" in weights
        }
        if not found:
            continue
        first, *others = found
        different = [layer for layer in others if not torch.equal(found[first], found[layer])]
        if different:
            raise InputError(
                f"{group.name} shares {kind} among its blocks, and in the file those of "
                f"{', '.join(different)} differ from those of {first}: set share_positions=False, "
                f"or share='layer' in a rule."
            )
        value = found[first]
        size = group.owner.extents
        if kind == "positions" and len(value) == len(size):
            value = clamp_positions_(value.clone(), size)
        weights[f"{group.name}.{kind}"] = value


def moved_positions(weights: Mapping[str, Tensor], module: nn.Module) -> tuple[int, float]:
    """How many of a checkpoint's positions lie outside the model's kernels, and how far at most."""
    result, count, farthest = by_layer(weights), 0, 0.0
    for group in position_groups(module):
        size = group.owner.extents
        for layer in group.layers:
            positions = result.get(f"{layer}.positions")
            if positions is not None and len(positions) == len(size):
                beyond = (positions - clamp_positions_(positions.clone(), size)).abs().amax(0)
                count += int((beyond > 0).sum())
                farthest = max(farthest, beyond.max().item())
    return count, farthest


def replaced_spreads(weights: Mapping[str, Tensor], module: nn.Module) -> tuple[str, ...]:
    """What of `initial_spread` a checkpoint's positions stand in the place of, without the
    default, which asks for nothing."""
    given = by_layer(weights)
    found = {
        group.owner.initial_spread
        for group in position_groups(module)
        if any(f"{layer}.positions" in given for layer in group.layers)
    }
    return tuple(sorted(found - {PUBLISHED}))


def take_dense(weights: dict[str, Tensor], group: PositionGroup) -> Fit:
    try:
        return elements_of(weights, group)
    except ValueError as error:
        raise InputError(f"{error}.") from error
