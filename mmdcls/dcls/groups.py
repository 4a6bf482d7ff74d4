"""Who owns positions, which layers use them, and which layers of a network could share some."""

import re
from dataclasses import dataclass

from torch import nn

from .elements import ElementPositions, position_owners
from .layers import DclsNd
from .wrappers import unwrapped, without_wrappers


@dataclass(frozen=True)
class PositionGroup:
    """An owner of positions and, by name, the layers that use them."""

    name: str
    owner: ElementPositions
    layers: dict[str, DclsNd]


def position_groups(model: nn.Module) -> list[PositionGroup]:
    """Every owner of positions in the model, with the layers in the model that use them.

    A layer uses its own, those that it has borrowed, or those of the nearest module above it.
    """
    layers = {
        without_wrappers(name): module
        for name, module in unwrapped(model).named_modules()
        if isinstance(module, DclsNd)
    }
    owners = position_owners(model)
    groups = {name: PositionGroup(name, owner, {}) for name, owner in owners.items()}
    names = {owner: name for name, owner in owners.items()}
    for name, layer in layers.items():
        owner = names.get(layer.owner)
        if layer.owner is None:
            above = (other for other in owners if is_above(other, name))
            owner = max(above, key=len, default=None)
        if owner is not None:
            groups[owner].layers[name] = layer
    return list(groups.values())


def borrowers_from_outside(model: nn.Module) -> dict[str, DclsNd]:
    """Layers that use positions which no module of the model has, by name: the model is a part."""
    inside = set(model.modules())
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, DclsNd) and layer.owner is not None and layer.owner not in inside
    }


def is_above(name: str, other: str) -> bool:
    return not name or other.startswith(f"{name}.")


def stage_of(name: str) -> str:
    """The stage that a module belongs to: its name up to the first number.

    "layer1.0.conv2" is of layer1, "backbone.stages.0.blocks.2.conv_dw" of backbone.stages.0; a
    name without a number is a stage of its own.
    """
    return re.match(r"\D*\d+|.*", name)[0]
