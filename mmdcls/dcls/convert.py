"""Turn convolutions of any network into DCLS layers, by rules."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from .conversion import Conversion, Replacement
from .dense_loading import elements_from_dense
from .from_dense import in_place_of, start_from_dense
from .groups import stage_of
from .interpolation import get_interpolation
from .inventory import inventory
from .layers import DclsNd
from .rules import (
    LAYERS,
    NEUTRAL,
    Rule,
    as_rules,
    convolutions_of,
    kind_of,
    listed_modules,
    plain_class,
)


@dataclass(frozen=True)
class Plan:
    """What takes the place of one convolution."""

    conv: nn.Module
    rule: Rule
    kernel_size: tuple[int, ...]
    group: tuple


def convert(
    model: nn.Module, rules: Rule | Mapping | Sequence[Rule | Mapping]
) -> tuple[nn.Module, Conversion]:
    """Replace convolutions of a network by DCLS layers, in place.

    rules: `Rule`s, or their arguments as dicts. The first whose `where` matches a convolution's
        name decides on it.
    returns: the model, which is another object where it is a convolution itself, and what was done.

    Layers that share positions borrow those of the first of them, so that these stand once in the
    state and among the parameters. From then on `load_state_dict` also takes the weights of the
    network as it was, and turns dense kernels into elements; `mmdcls.dcls.merged` is the way back
    to plain convolutions.

    To be called before the model is wrapped (DistributedDataParallel) and before its optimiser is
    made. Raises ValueError, and changes nothing, where a rule replaces nothing, and where a
    convolution that it means cannot be replaced: one that computes something else, with hooks or
    parametrisations, of a padding that cannot follow.
    """
    rules = as_rules(rules)
    if isinstance(model, DistributedDataParallel):
        raise ValueError("convert takes the model before it is wrapped: convert(model.module, ...)")
    plans, left = plans_for(model, rules)
    counts = counts_for(plans)
    before = parameters_of(model)
    layers: dict[nn.Module, DclsNd] = {}
    rows = []
    for members in in_groups(plans):
        made, error = layers_for([plans[name] for name in members], counts)
        for name, layer in zip(members, made, strict=True):
            plan = plans[name]
            layers[plan.conv] = layer
            rows.append(
                Replacement(
                    name,
                    kind_of(plan.conv),
                    tuple(plan.conv.kernel_size),
                    plan.kernel_size,
                    layer.kernel_count,
                    members[0],
                    error,
                )
            )
    order = list(plans)
    model = put_in_place(model, layers)
    rows.sort(key=lambda row: order.index(row.name))
    return model, Conversion(tuple(rows), left, before, parameters_of(model))


def plans_for(model: nn.Module, rules: Sequence[Rule]) -> tuple[dict[str, Plan], dict[str, str]]:
    """By name, what is to be replaced, and why the others stay."""
    users = Counter(
        id(parameter)
        for module in model.modules()
        for parameter in module._parameters.values()
        if parameter is not None
    )
    listed = listed_modules(model)
    plans, left, refused = {}, {}, {}
    for name, conv in convolutions_of(model).items():
        rule = next((rule for rule in rules if rule.names(name)), None)
        if rule is None:
            left[name] = "without a rule for its name"
            continue
        if reason := rule.passes_over(conv):
            left[name] = reason
            continue
        tied = any(users[id(parameter)] > 1 for parameter in conv.parameters())
        if reason := rule.refuses(conv, tied, conv in listed):
            refused[name] = reason
            continue
        size = rule.size_for(conv)
        stage = stage_of(name) if rule.share == "stage" else name
        shape = (conv.out_channels, conv.in_channels // conv.groups)
        weight = conv.weight
        alike = (shape, size, tuple(conv.kernel_size), tuple(conv.dilation))
        values = (weight.dtype, weight.device, weight.requires_grad)
        plans[name] = Plan(conv, rule, size, (rules.index(rule), stage, *alike, *values))
    if refused:
        reasons = "; ".join(f"{name} {reason}" for name, reason in refused.items())
        raise ValueError(
            f"{len(refused)} convolutions that rules name cannot be replaced: {reasons}. Name "
            f"others with where, or leave these out with where_depthwise, where_kernel_size or "
            f"where_stride"
        )
    idle = [rule for rule in rules if all(plan.rule is not rule for plan in plans.values())]
    if idle:
        rows = "\n  ".join(map(str, inventory(model))) or "none of more than one cell"
        raise ValueError(
            f"where={idle[0].where!r} replaces nothing. It must match the whole name of a "
            f"convolution that no rule before it names, and these are left:\n  {rows}"
        )
    return plans, left


def in_groups(plans: Mapping[str, Plan]) -> list[list[str]]:
    groups: dict[tuple, list[str]] = {}
    for name, plan in plans.items():
        groups.setdefault(plan.group, []).append(name)
    return list(groups.values())


def counts_for(plans: Mapping[str, Plan]) -> dict[tuple, int]:
    """kernel_count by rule and dense kernel size."""
    kinds: dict[tuple, list[Plan]] = {}
    for plan in plans.values():
        kinds.setdefault(kind_for(plan), []).append(plan)
    counts = {}
    for (rule, size), some in kinds.items():
        is_neutral = rule.kernel_count == NEUTRAL
        counts[rule, size] = neutral_count(some) if is_neutral else rule.kernel_count
    return counts


def kind_for(plan: Plan) -> tuple:
    return plan.rule, tuple(plan.conv.kernel_size)


def neutral_count(plans: Sequence[Plan]) -> int:
    """Elements per kernel with which layers have, as nearly as can be, the parameters they had.

    An element costs a weight in each layer, and in each group a coordinate, and with a width two
    numbers, along every axis on which it moves.
    """
    cells = elements = 0
    seen = set()
    for plan in plans:
        slices = plan.conv.weight.shape[:2].numel()
        cells += plan.conv.weight.numel()
        elements += slices
        if plan.group not in seen:
            seen.add(plan.group)
            rule = get_interpolation(plan.rule.interpolation)
            moving = sum(size > 1 for size in plan.kernel_size)
            elements += slices * moving * (2 if rule.has_sigma else 1)
    return max(round(cells / elements), 1)


def layers_for(
    plans: Sequence[Plan], counts: Mapping[tuple, int]
) -> tuple[list[DclsNd], float | None]:
    """The layers of a group, the owner of the positions first, and their relative error."""
    rule = plans[0].rule
    layers = [
        in_place_of(
            LAYERS[plain_class(plan.conv)],
            plan.conv,
            plan.kernel_size,
            counts[kind_for(plan)],
            rule.interpolation,
            rule.initial_spread,
            share_positions=index > 0,
        )
        for index, plan in enumerate(plans)
    ]
    owner, *others = layers
    for layer in others:
        layer.borrow_positions(owner)
    if rule.start == "random":
        for layer in layers:
            start_at_random(layer)
        return layers, None
    if owner.weight.is_meta:
        return layers, None
    fit = start_from_dense(layers, torch.stack([plan.conv.weight.detach() for plan in plans]))
    return layers, fit.residual / fit.norm if fit.norm else 0.0


def start_at_random(layer: DclsNd) -> None:
    """As published (arXiv 2112.03740): weights N(0, 0.02), bias 0; positions are drawn already."""
    nn.init.normal_(layer.weight, std=0.02)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def put_in_place(model: nn.Module, layers: Mapping[nn.Module, DclsNd]) -> nn.Module:
    model = layers.get(model, model)
    for module in list(model.modules()):
        # Not named_children(), which names a module of two names once.
        for name, child in list(module._modules.items()):
            if child in layers:
                setattr(module, name, layers[child])
    # Not the whole network alone: a part may be loaded by itself, as a segmentor's backbone.
    made = set(layers.values())
    for module in model.modules():
        if not made.isdisjoint(module.modules()):
            module.register_load_state_dict_pre_hook(elements_from_dense)
    return model


def parameters_of(model: nn.Module) -> int:
    """Those of lazy modules, which have no size yet, do not count."""
    return sum(p.numel() for p in model.parameters() if not is_lazy(p))
