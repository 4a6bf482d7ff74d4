"""How it shows in the figures of a stage that learning positions has failed, and what to change."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .elements import ElementPositions
from .statistics import border_share, covers, neighbour_share


class Group(NamedTuple):
    """A stage, or a layer, with those that own its positions and their figures."""

    name: str
    owners: Sequence[ElementPositions]
    figures: dict[str, float]


class Signature(NamedTuple):
    """One row of the table.

    figure: the one to look at, as in `mmdcls.dcls.statistics.summary`.
    is_bad: (value of the figure, limit, group) -> whether the group shows the signature.
    needs_time: not to be judged early in training, when positions are still where they started.
    problem, advice: the sentence before and after the names of the stages.
    as_share: whether the figure is a share, or else a length in cells.
    """

    figure: str
    is_bad: Callable[[float, float, Group], bool]
    needs_time: bool
    problem: str
    advice: str
    as_share: bool = True

    def is_shown_by(self, group: Group, limit: float) -> bool:
        value = group.figures.get(self.figure)
        return value is not None and self.is_bad(value, limit, group)

    def sentence(self, groups: Sequence[Group]) -> str:
        where = ", ".join(f"{group.name or 'the model'} ({self.shown(group)})" for group in groups)
        return f"{self.problem} {where}: {self.advice}."

    def shown(self, group: Group) -> str:
        value = group.figures[self.figure]
        return f"{value:.0%}" if self.as_share else f"{value:.3g} cells"


def crowds_the_border(share: float, limit: float, group: Group) -> bool:
    # In a small kernel most cells lie at the border, and being there is nothing special.
    usual = max(border_share(owner.kernel_size) for owner in group.owners)
    return share > max(limit, usual)


def exceeds(share: float, limit: float, group: Group) -> bool:
    return share > limit


def narrow_and_learning(share: float, limit: float, group: Group) -> bool:
    learns = any(o.sigma is not None and o.sigma.requires_grad for o in group.owners)
    return learns and share > limit


def crowds(share: float, limit: float, group: Group) -> bool:
    # Where a kernel has many elements for its cells, some are near others wherever they stand.
    usual = max(neighbour_share(o.extents, o.positions.shape[-1]) for o in group.owners)
    return share > limit > usual


def still_and_learning(distance: float, limit: float, group: Group) -> bool:
    learning = [owner for owner in group.owners if owner.positions.requires_grad]
    # Elements that cover their kernel from the start on need not go anywhere, but what an optimiser
    # steps does not stand still.
    return bool(learning) and (
        distance == 0
        or (distance < limit and any(not covers(o.positions, o.extents) for o in learning))
    )


# The largest healthy share, or smallest healthy length in cells; by signature.
LIMITS = dict(
    most_at_border=0.5,
    most_at_centre=0.8,
    most_near_another=0.95,
    most_at_floor=0.5,
    least_movement=0.05,
)


def failure_signatures(rule: str, layers: str) -> dict[str, Signature]:
    """The table, by the limit that each figure is compared with.

    rule: what has the options for the rates of positions: position_travel and the others of
        `parameter_groups`.
    layers: what has the option initial_spread.
    """
    # projects/position_study: from the published start, three radii did better than the method's
    # rate in the mean over four data sets.
    faster = f"let positions travel further ({rule}.position_travel, 1 to 3 kernel radii)"
    wider = f"start wider (initial_spread of the {layers}, unless weights bring positions)"
    return {
        "most_at_border": Signature(
            "at_border",
            crowds_the_border,
            needs_time=False,
            problem="Elements cluster at the border of the kernels of",
            advice="raise kernel_size, or lower the rate of positions (position_travel or "
            f"position_lr_mult of {rule})",
        ),
        "most_at_centre": Signature(
            "at_centre",
            exceeds,
            needs_time=True,
            problem="Elements have collapsed to the centre cell of the kernels of",
            advice=f"{faster}, {wider}, or give repulsion a larger weight",
        ),
        "most_near_another": Signature(
            "near_another",
            crowds,
            needs_time=True,
            problem="Elements stand within half a cell of another, so that kernels do the work of "
            "smaller ones, in",
            advice=f"{faster}, or {wider}; reach_90 says how far kernels reach",
        ),
        "most_at_floor": Signature(
            "at_floor",
            narrow_and_learning,
            needs_time=True,
            problem="Widths have gone to their floor, so that elements feel only the nearest "
            "cells, in",
            advice=f"lower the rate of sigma ({rule}.custom_keys), or start it larger",
        ),
        "least_movement": Signature(
            "movement",
            still_and_learning,
            needs_time=True,
            problem="Positions have hardly moved since the start in",
            advice=f"{faster}, and see in the table of optimiser groups at the start that "
            "positions are among them",
            as_share=False,
        ),
    }


def sentences(
    signatures: Mapping[str, Signature],
    owners: Mapping[str, Mapping[str, ElementPositions]],
    figures: Mapping[str, dict[str, float]],
    limits: Mapping[str, float | None],
    is_early: bool,
) -> dict[str, str]:
    """What is wrong and what to change, for each signature that a stage shows.

    owners, figures: of each stage, by its name.
    limits: None leaves its signature out.
    is_early: leaves out those that need time.
    """
    groups = [Group(name, list(of.values()), figures[name]) for name, of in owners.items()]
    found = {}
    for name, signature in signatures.items():
        limit = limits[name]
        if limit is None or (is_early and signature.needs_time):
            continue
        if failed := [group for group in groups if signature.is_shown_by(group, limit)]:
            found[name] = signature.sentence(failed)
    return found
