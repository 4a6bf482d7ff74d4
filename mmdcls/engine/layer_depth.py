"""How deep in a backbone a parameter lies, for rates that decay with depth."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature

import torch
from torch import nn

from mmdcls.dcls.parameter_groups import Depth
from mmdcls.dcls.wrappers import without_wrappers

# Of a layer of ours: parameters that no network of others has.
ELEMENTS = re.compile(r"\.(positions|sigma)$")


def depths_of(model: nn.Module, decay_type: str, num_layers: int | None) -> dict[str, Depth]:
    """What each backbone says of its parameters, by the prefix of their names.

    Backbones that say it have `get_layer_depth`, as ours and many of mmpretrain, or are models of
    timm with a `group_matcher`.

    Raises ValueError for a decay_type or num_layers that a backbone knows nothing of.
    """
    found = {}
    for name, module in model.named_modules():
        prefix = without_wrappers(f"{name}." if name else "")
        found |= dict(depths_in(module, prefix, decay_type, num_layers))
    return found


def depths_in(
    module: nn.Module, prefix: str, decay_type: str, num_layers: int | None
) -> Iterator[tuple[str, Depth]]:
    own = getattr(module, "get_layer_depth", None)
    if own is not None and "decay_type" in signature(own).parameters:
        yield (
            prefix,
            partial(own, prefix=prefix, decay_type=decay_type, num_layers=num_layers),
        )
        return
    is_timm = isinstance(getattr(module, "timm_model", None), nn.Module)
    layers = layers_of_timm(module.timm_model, decay_type) if is_timm else None
    if own is None and layers is None:
        return
    if num_layers is not None:
        raise ValueError(
            f"num_layers={num_layers} is refused: {type(module).__name__} counts its layers "
            f"itself; leave it out"
        )
    if layers is not None:
        yield prefix, partial(depth_in_timm, layers=layers, prefix=f"{prefix}timm_model.")
    elif decay_type != "layer_wise":
        raise ValueError(
            f"decay_type={decay_type!r} is refused: {type(module).__name__} tells layers only; "
            f"give decay_type='layer_wise'"
        )
    else:
        yield prefix, partial(depth_in_mmpretrain, own=own, prefix=prefix)


def depth_in_mmpretrain(name: str, own: Callable, prefix: str) -> tuple[int, int]:
    """mmpretrain tells the number of layers, and not the last of them."""
    layer, count = own(name, prefix)
    return layer, count - 1


def layers_of_timm(model: nn.Module, decay_type: str) -> dict[str, int] | None:
    """The layer of each parameter by timm's name, None where the model does not tell.

    A model that gives features has lost its matcher, so that the whole one is asked, which its
    configuration names.
    """
    import timm

    whole = model
    if not hasattr(whole, "group_matcher"):
        with torch.device("meta"):
            whole = timm.create_model(model.default_cfg["architecture"])
    if not hasattr(whole, "group_matcher"):
        return None
    matcher = whole.group_matcher(coarse=decay_type == "stage_wise")
    return timm.models.group_parameters(whole, matcher, reverse=True)


def depth_in_timm(name: str, layers: dict[str, int], prefix: str) -> tuple[int, int]:
    inside = ELEMENTS.sub(".weight", name.removeprefix(prefix))
    # What gives features has stages_0 for stages.0.
    whole = re.sub(r"^([^.]+)_(\d+)\.", r"\1.\2.", inside)
    layer = layers.get(inside, layers.get(whole))
    if layer is None:
        raise ValueError(
            f"decay_rate below 1 needs the depth of {name}, which timm does not tell; use "
            f"decay_rate=1"
        )
    return layer, max(layers.values())
