"""How the positions of a model fare in training: figures, and what is wrong with them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .elements import ElementPositions
from .failure_signatures import LIMITS, failure_signatures, sentences
from .groups import position_groups
from .layers import DclsNd
from .statistics import element_figures, outside_plain, reach_of_most, summary, weight_within
from .wrappers import unwrapped, without_wrappers

SIGNATURES = failure_signatures(rule="parameter_groups", layers="layers")


def start_positions(model: nn.Module) -> dict[str, Tensor]:
    """Copies, on the CPU, of the positions of all owners, by name: of what moves, where it starts.

    Kernels of a single cell are left out: there, nothing can move.
    """
    return {
        name: owner.positions.detach().cpu().clone()
        for owners in groups_of(model).values()
        for name, owner in owners.items()
    }


def position_figures(model: nn.Module, start: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """The figures of `mmdcls.dcls.statistics` for each stage, or for each layer without one.

    Beside those of elements, of the dense kernels of all layers that use them: outside_7x7, the
    share of absolute weight further from the centre than a dense 7x7 reaches (three cells on any
    axis), and reach_90, within how many cells 90 % of it lie.

    start: `start_positions` of the model before it was trained. Raises ValueError where it is of
        another model.
    """
    layers = {group.owner: list(group.layers.values()) for group in position_groups(model)}
    return {
        stage: summary(
            [
                part
                for name, owner in owners.items()
                for part in (
                    figures_of(name, owner, start),
                    *(kernel_figures(layer, owner) for layer in layers.get(owner, ())),
                )
            ]
        )
        for stage, owners in groups_of(model).items()
    }


def position_warnings(
    model: nn.Module,
    figures: Mapping[str, dict[str, float]],
    limits: Mapping[str, float | None] | None = None,
    is_early: bool = False,
) -> dict[str, str]:
    """Where learning positions fails, a sentence with what to change, by the limit it exceeds.

    figures: `position_figures` of the model.
    limits: others than most_at_border=0.5, most_at_centre=0.8, most_near_another=0.95 and
        most_at_floor=0.5, the largest healthy share of elements at the border, in the centre cell,
        within half a cell of another, and of widths at their floor, and least_movement=0.05, the
        smallest healthy mean distance from the start in cells, of elements that start close to one
        place; None turns a warning off.
    is_early: positions may still be where they started; of the limits only most_at_border counts.
    """
    limits = limits or {}
    if unknown := set(limits) - set(LIMITS):
        raise ValueError(f"limits has {sorted(map(str, unknown))}; it takes {', '.join(LIMITS)}")
    return sentences(SIGNATURES, groups_of(model), figures, LIMITS | dict(limits), is_early)


def groups_of(model: nn.Module) -> dict[str, dict[str, ElementPositions]]:
    """The owners of positions by stage: the outermost ElementPositions that they are part of.

    Kernels of a single cell are left out: there, nothing can move.
    """
    groups: dict[str, dict[str, ElementPositions]] = {}
    for name, module in unwrapped(model).named_modules():
        if not isinstance(module, ElementPositions):
            continue
        name = without_wrappers(name)
        # Parents come before what they contain; the model itself has no name.
        stage = next((s for s in groups if not s or name.startswith(f"{s}.")), name)
        owners = groups.setdefault(stage, {})
        if module.positions is not None and max(module.kernel_size) > 1:
            owners[name] = module
    return {stage: owners for stage, owners in groups.items() if owners}


def first_positions(name: str, owner: ElementPositions, start: Mapping[str, Tensor]) -> Tensor:
    """Those of one owner. Raises ValueError where start is of another model."""
    if name not in start or start[name].shape != owner.positions.shape:
        raise ValueError(
            f"start has no positions of {name or 'the model'} in shape "
            f"{tuple(owner.positions.shape)}: take start_positions(model) of this model, before it "
            f"is trained"
        )
    return start[name]


def figures_of(
    name: str, owner: ElementPositions, start: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    positions = owner.positions
    first = first_positions(name, owner, start).to(positions.device)
    return element_figures(positions, owner.sigma, first, owner.extents, owner.interpolation)


@torch.no_grad()
def kernel_figures(layer: DclsNd, owner: ElementPositions) -> dict[str, Tensor]:
    """One number for each dense kernel of a layer that uses these positions."""
    within = weight_within(layer.kernel(owner.shares()), (1,) * layer.axes)
    return dict(outside_7x7=outside_plain(within), reach_90=reach_of_most(within))


def figures_table(figures: Mapping[str, dict[str, float]]) -> str:
    """`position_figures` as text, a row for each stage; lengths are in cells."""
    columns = list(dict.fromkeys(name for values in figures.values() for name in values))
    rows = [["", *columns]]
    for stage, values in figures.items():
        rows.append([stage, *(f"{values[c]:.3f}" if c in values else "-" for c in columns)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(aligned(row, widths) for row in rows)


def aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [f"{first[0]:{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]
    return "  ".join(cells).rstrip()
