"""Dense weights, given to `load_state_dict` of a converted network, become elements."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .elements import PLACES
from .fit import Fit, checked_reach, fit_elements
from .groups import PositionGroup, borrowers_from_outside, position_groups, stage_of
from .layers import DclsNd

logger = logging.getLogger(__name__)


def elements_from_dense(module: nn.Module, state: dict, prefix: str, *others) -> None:
    """Hook of `load_state_dict`: replace, in the state, dense kernels by the elements of layers.

    A group of layers that share positions starts from its dense kernels together, from those that
    the state has. The state of a converted network, which has positions, passes as it is.

    Raises ValueError where a dense kernel does not fit into the layer's, and where layers of a part
    borrow positions from outside of it.
    """
    check_borrowers(module, state, prefix)
    squares: dict[str, list[float]] = {}
    for group in position_groups(module):
        if is_dense(group, state, prefix):
            fit = take_dense(state, group, prefix)
            sums = squares.setdefault(stage_of(group.name), [0.0, 0.0])
            sums[0] += fit.residual**2
            sums[1] += fit.norm**2
    copy_to_other_names(module, state, prefix)
    if squares:
        errors = ", ".join(f"{stage} {e:.2g}" for stage, e in relative_errors(squares).items())
        logger.info("dense kernels became elements, with a relative error of %s", errors)


def as_loaded(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state with the shapes that `load_state_dict` will find in it.

    For dense kernels that are going to become elements stand the elements that the model has.
    """
    result, own = dict(state), module.state_dict()
    for path, part in module.named_modules():
        if not takes_dense(part):
            continue
        prefix = f"{path}." if path else ""
        for group in position_groups(part):
            if is_dense(group, result, prefix) and has_room(group, result, prefix):
                names = [name for name in weights_of(group, prefix) if name in result]
                names += [name_in(prefix, group.name, kind) for kind in PLACES]
                result |= {name: own[name] for name in names if name in own}
        copy_to_other_names(part, result, prefix)
    return result


def takes_dense(module: nn.Module) -> bool:
    """Whether `load_state_dict` turns dense kernels into elements, as after `convert`."""
    hooks = module._load_state_dict_pre_hooks.values()
    return any(getattr(hook, "hook", None) is elements_from_dense for hook in hooks)


def has_room(group: PositionGroup, state: Mapping[str, Tensor], prefix: str) -> bool:
    """Whether dense kernels are those of the group's layers, and no larger than they can be."""
    for name, layer in weights_of(group, prefix).items():
        if name not in state:
            continue
        shape = state[name].shape
        if shape[:2] != layer.weight.shape[:2]:
            return False
        try:
            checked_reach(layer.kernel_size, shape[2:], layer.dense_dilation)
        except ValueError:
            return False
    return True


def relative_errors(squares: Mapping[str, list[float]]) -> dict[str, float]:
    return {
        stage: (missed / whole) ** 0.5 if whole else 0.0
        for stage, (missed, whole) in squares.items()
    }


def name_in(prefix: str, layer: str, kind: str) -> str:
    return f"{prefix}{layer}.{kind}" if layer else f"{prefix}{kind}"


def weights_of(group: PositionGroup, prefix: str) -> dict[str, DclsNd]:
    """Layers of a group by the names of their weights in a state."""
    return {name_in(prefix, name, "weight"): layer for name, layer in group.layers.items()}


def is_dense(group: PositionGroup, state: Mapping[str, Tensor], prefix: str) -> bool:
    """Whether a state has dense kernels for layers of a group, no elements, and no positions."""
    if name_in(prefix, group.name, "positions") in state:
        return False
    found = [
        is_dense_for(layer, state[name])
        for name, layer in weights_of(group, prefix).items()
        if name in state
    ]
    return bool(found) and all(found)


def is_dense_for(layer: DclsNd, weight: Tensor) -> bool:
    """Whether a weight is a dense kernel for a layer, whose own has one axis of elements.

    In one dimension both have three axes. Where even their shapes agree, it is the dense kernel if
    the layer took the place of one of as many cells.
    """
    if weight.dim() != 2 + layer.axes:
        return False
    return weight.shape != layer.weight.shape or tuple(weight.shape[2:]) == layer.dense_size


def take_dense(state: dict, group: PositionGroup, prefix: str = "") -> Fit:
    """Replace the dense kernels of a group, in a state; raises ValueError where they do not fit."""
    names = [name for name in weights_of(group, prefix) if name in state]
    shapes = {tuple(state[name].shape) for name in names}
    layer = next(iter(group.layers.values()))
    if len(shapes) > 1 or next(iter(shapes))[:2] != layer.weight.shape[:2]:
        raise ValueError(
            f"dense kernels of shapes {', '.join(map(str, sorted(shapes)))} are not those of the "
            f"layers that share the positions of {group.name}, of {tuple(layer.weight.shape[:2])} "
            f"channels each: load weights of the same network"
        )
    try:
        fit = fit_elements(
            torch.stack([state[name].detach() for name in names]),
            layer.kernel_size,
            layer.kernel_count,
            layer.interpolation,
            layer.dense_dilation,
            layer.initial_spread,
        )
    except ValueError as error:
        raise ValueError(f"{group.name} cannot start from dense kernels: {error}") from error
    state.update(zip(names, fit.weights, strict=True))
    state[name_in(prefix, group.name, "positions")] = fit.positions
    if fit.sigma is not None:
        state[name_in(prefix, group.name, "sigma")] = fit.sigma
    return fit


def copy_to_other_names(module: nn.Module, state: dict, prefix: str) -> None:
    """Give layers that stand in several places of a network the same elements under every name."""
    names: dict[DclsNd, list[str]] = {}
    for name, layer in module.named_modules(remove_duplicate=False):
        if isinstance(layer, DclsNd):
            names.setdefault(layer, []).append(name)
    for layer, (first, *others) in names.items():
        for other in others:
            weight = state.get(name_in(prefix, other, "weight"))
            if weight is None or not is_dense_for(layer, weight):
                continue
            for kind in ("weight", *PLACES):
                if (value := state.get(name_in(prefix, first, kind))) is not None:
                    state[name_in(prefix, other, kind)] = value


def check_borrowers(module: nn.Module, state: Mapping[str, Tensor], prefix: str) -> None:
    for name, layer in borrowers_from_outside(module).items():
        weight = state.get(name_in(prefix, name, "weight"))
        # What has the shape of the layer's own weight is taken as elements.
        if weight is None or weight.shape == layer.weight.shape:
            continue
        if is_dense_for(layer, weight):
            raise ValueError(
                f"{name} shares the positions of a layer outside of what is loaded: load dense "
                f"weights into the whole network, or into the part with all layers of the stage"
            )
