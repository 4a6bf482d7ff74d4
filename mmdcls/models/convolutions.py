"""Which convolutions of a config's model a rule can name, and what a rule would make of them."""

import copy
from collections.abc import Iterator, Mapping

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from mmdcls.config import nodes, without_pretrained
from mmdcls.dcls import DclsNd, Rule, convert
from mmdcls.dcls.inventory import inventory
from mmdcls.errors import InputError

from .converted import rules_of

NAME = "mmdcls.Converted"


def convolutions(cfg: Config, part: str | None = None, rule: Mapping | None = None) -> str:
    """The convolutions of more than one cell as a table, and what becomes of them, as text.

    part: the module of the model that is looked at, as "backbone", or "" for all of it. None takes
        what the config converts, or else the backbone, or else all.
    rule: arguments of `mmdcls.dcls.Rule`; None takes those of the config, if it has any.

    Names are those that a rule at that place of the config sees. Raises InputError for a part that
    there is not, ValueError for a rule that does not fit.
    """
    cfg = without_pretrained(copy.deepcopy(cfg))
    given = dict(take_rules(cfg))
    model = built_without_values(cfg)
    if part is None and rule is None and given:
        parts = given
    else:
        part = default_part(model) if part is None else part
        parts = {part: given.get(part, []) if rule is None else [Rule(**rule)]}
    return "\n".join(text_of(model, path, rules) for path, rules in parts.items())


def take_rules(cfg: Config) -> Iterator[tuple[str, list[Rule]]]:
    """Make the networks that the config converts plain; where they are, and their rules."""
    for path, node in list(nodes("model", cfg.model)):
        if node.get("type") == NAME:
            node["type"] = node.pop("network")
            yield path.removeprefix("model").lstrip("."), rules_of(node.pop("dcls"))


def built_without_values(cfg: Config) -> nn.Module:
    """The model on the device "meta"."""
    try:
        with torch.device("meta"):
            return MODELS.build(cfg.model)
    except RuntimeError:
        # Some ask for a value, as for that of the chance to drop a path.
        return MODELS.build(cfg.model).to("meta")


def default_part(model: nn.Module) -> str:
    return "backbone" if hasattr(model, "backbone") else ""


def text_of(model: nn.Module, path: str, rules: list[Rule]) -> str:
    try:
        network = model.get_submodule(path)
    except AttributeError as error:
        names = ", ".join(name for name, _ in model.named_children())
        raise InputError(f"The model has no part {path!r}; it has {names}.") from error
    lines = [f"{path or 'model'}: {type(network).__name__}"]
    lines += [f"  {row}" for row in inventory(network)] or ["  no convolution of several cells"]
    layers = sum(isinstance(module, DclsNd) for module in network.modules())
    if layers:
        lines.append(f"  {layers} are DCLS layers already")
    if rules:
        lines.append(str(convert(network, rules)[1]))
    return "\n".join(lines)
