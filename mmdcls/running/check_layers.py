"""Settings of a model that changed nothing in it, or do not go with the backbone."""

from collections.abc import Iterator, Sequence

from mmengine.config import Config
from torch import nn

from mmdcls.config import nodes
from mmdcls.dcls import DclsNd
from mmdcls.errors import InputError
from mmdcls.models import DclsConvNeXt
from mmdcls.wrapping import unwrapped


def check_layers(cfg: Config, model: nn.Module) -> None:
    """Raise InputError for a conv_cfg of ours where no convolution became a DCLS layer, and where
    neck or heads were made for other channels than our backbone has."""
    check_channels(unwrapped(model))
    modules = dict(unwrapped(model).named_modules())
    for path, node in nodes("model", cfg.get("model")):
        conv_cfg = node.get("conv_cfg") or {}
        if not str(conv_cfg.get("type")).startswith("mmdcls.Dcls"):
            continue
        owner = modules.get(path.removeprefix("model").lstrip("."))
        if owner is None or any(isinstance(module, DclsNd) for module in owner.modules()):
            continue
        kinds = {
            "x".join(map(str, module.kernel_size))
            + (" (depthwise)" if module.groups == module.in_channels > 1 else "")
            for module in owner.modules()
            if isinstance(module, nn.modules.conv._ConvNd)
        }
        filters = [
            f"{name}={conv_cfg[name]}"
            for name in ("where_kernel_size", "where_depthwise")
            if conv_cfg.get(name) is not None
        ]
        raise InputError(
            f"{path}.conv_cfg, with {' and '.join(filters) or 'no filter'}, makes no DCLS layer: "
            f"the convolutions there are of {', '.join(sorted(kinds)) or 'no size'}; name one of "
            f"these that is larger than 1x1, or leave conv_cfg out."
        )


def check_channels(model: nn.Module) -> None:
    backbone, neck = getattr(model, "backbone", None), getattr(model, "neck", None)
    if not isinstance(backbone, DclsConvNeXt):
        return
    given = [backbone.channels[index] for index in sorted(backbone.out_indices)]
    if neck is not None:
        taken = getattr(neck, "in_channels", None)
        if isinstance(taken, (list, tuple)) and list(taken) != given:
            raise InputError(not_those("model.neck", taken, given, given))
        return
    for path, head in heads_of(model):
        places = head.in_index if isinstance(head.in_index, (list, tuple)) else [head.in_index]
        if not all(-len(given) <= place < len(given) for place in places):
            raise InputError(
                f"{path}.in_index={head.in_index} names a map that the backbone does not have: "
                f"with out_indices={backbone.out_indices} there are {len(given)}."
            )
        maps = [given[place] for place in places]
        expected = dict(resize_concat=sum(maps), multiple_select=maps).get(
            head.input_transform, maps[0]
        )
        taken = head.in_channels if isinstance(head.in_channels, int) else list(head.in_channels)
        if taken != expected:
            shown = maps if head.input_transform else maps[0]
            raise InputError(not_those(path, taken, given, shown))


def heads_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Those that take maps of the backbone, as mmseg's do, by their place in the config."""
    for name in ("decode_head", "auxiliary_head"):
        head = getattr(model, name, None)
        several = enumerate(head) if isinstance(head, nn.ModuleList) else [(None, head)]
        for index, one in several:
            if all(hasattr(one, key) for key in ("in_channels", "in_index", "input_transform")):
                yield f"model.{name}" + ("" if index is None else f".{index}"), one


def not_those(path: str, taken: object, given: Sequence[int], right: object) -> str:
    return (
        f"{path} is made for in_channels={taken}, and the maps of the backbone have {given}: give "
        f"it in_channels={right}."
    )
