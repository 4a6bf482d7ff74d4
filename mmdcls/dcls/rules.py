"""Which convolutions of a network a rule names, and what keeps one from becoming a DCLS layer."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from .arguments import (
    LARGEST,
    check_choice,
    check_flag,
    check_whole,
    is_whole,
    per_axis,
)
from .fit import checked_reach
from .from_dense import computes_its_convolution
from .interpolation import get_interpolation
from .layers import Dcls1d, Dcls2d, Dcls3d, DclsNd
from .spreads import check_initial_spread

LAYERS: dict[type[nn.Module], type[DclsNd]] = {
    nn.Conv1d: Dcls1d,
    nn.Conv2d: Dcls2d,
    nn.Conv3d: Dcls3d,
}
SHARES = ("stage", "layer")
STARTS = ("dense", "random")
NEUTRAL = "neutral"
# Cells of the dense kernel of one layer: a gigabyte in float32.
MOST_CELLS = 2**28

Size = int | Sequence[int]


@dataclass(frozen=True)
class Rule:
    """Convolutions of a network, and the DCLS layers that take their place.

    where: regular expression for the whole name of a convolution, as in `named_modules()`, where
        that of a network which is a convolution itself is empty.
    where_depthwise, where_kernel_size, where_stride: of those, take only the depthwise ones (or
        only the others), those of this kernel size, of this stride; None takes all. Convolutions of
        a single cell have no room for elements to move and are never taken.
    kernel_size: extent in which elements move. One number leaves axes of one cell as they are, so
        that 17 makes (1, 17) of a (1, 11). In place of a dilated kernel of size k comes one that is
        larger by (k - 1) * (dilation - 1). None keeps the extent of the dense kernel.
    kernel_count: elements per kernel, or "neutral": as many as give the layers of the rule, those
        of each dense kernel size together, the parameters that they had.
    interpolation, initial_spread: as of `mmdcls.dcls.DclsNd`. After a dense start, the spread is
        that of elements beyond the number of dense cells.
    share: "stage", where layers of a stage (see `mmdcls.dcls.groups.stage_of`) and of the same
        shapes share positions, or "layer", where each has its own.
    start: "dense", with the elements that come closest to the dense kernels (see
        `mmdcls.dcls.fit`), or "random", as published: weights N(0, 0.02), bias 0.

    Raises ValueError for arguments that do not fit.
    """

    where: str
    kernel_size: Size | None = None
    kernel_count: int | str = NEUTRAL
    interpolation: str = "bilinear"
    initial_spread: str = "normal"
    share: str = "stage"
    start: str = "dense"
    where_depthwise: bool | None = None
    where_kernel_size: Size | None = None
    where_stride: Size | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.where, str):
            raise ValueError(f"where={self.where!r} must be text, a regular expression for names")
        try:
            re.compile(self.where)
        except re.error as error:
            raise ValueError(f"where={self.where!r} is no regular expression: {error}") from error
        for name in ("kernel_size", "where_kernel_size", "where_stride"):
            size = getattr(self, name)
            if isinstance(size, (list, tuple)):
                # Rules are keys, which lists, as files have them, cannot be.
                object.__setattr__(self, name, per_axis(name, size, len(size), least=1))
            elif size is not None:
                check_whole(name, size, least=1, most=LARGEST)
                object.__setattr__(self, name, int(size))
        if self.kernel_count != NEUTRAL:
            if isinstance(self.kernel_count, str):
                raise ValueError(
                    f"kernel_count={self.kernel_count!r} must be a whole number or {NEUTRAL!r}"
                )
            check_whole("kernel_count", self.kernel_count, least=1, most=LARGEST)
            object.__setattr__(self, "kernel_count", int(self.kernel_count))
        get_interpolation(self.interpolation)
        check_initial_spread(self.initial_spread)
        check_choice("share", self.share, SHARES)
        check_choice("start", self.start, STARTS)
        if self.where_depthwise is not None:
            check_flag("where_depthwise", self.where_depthwise)

    def names(self, name: str) -> bool:
        return re.fullmatch(self.where, name) is not None

    def passes_over(self, conv: nn.Module) -> str | None:
        """Why a convolution that the rule names is not meant, None if it is."""
        if max(conv.kernel_size) == 1:
            return "has a kernel of one cell"
        if self.where_depthwise not in (None, is_depthwise(conv)):
            return f"is {kind_of(conv)}"
        for asked, given, what in (
            (self.where_kernel_size, conv.kernel_size, "kernel_size"),
            (self.where_stride, conv.stride, "stride"),
        ):
            if asked is not None and not equals(asked, given):
                return f"has {what}={given}"
        return None

    def size_for(self, conv: nn.Module) -> tuple[int, ...]:
        """The kernel size of the layer that takes a convolution's place."""
        dense = conv.kernel_size
        if self.kernel_size is None:
            size = dense
        elif is_whole(self.kernel_size):
            size = tuple(self.kernel_size if cells > 1 else 1 for cells in dense)
        else:
            size = per_axis("kernel_size", tuple(self.kernel_size), len(dense), least=1)
        grown = zip(size, dense, conv.dilation, strict=True)
        return tuple(new + (old - 1) * (step - 1) for new, old, step in grown)

    def refuses(self, conv: nn.Module, tied: bool, listed: bool) -> str | None:
        """Why a convolution that is meant cannot be replaced, None if it can.

        tied: whether other modules use its parameters as well.
        listed: whether it is one of `listed_modules`.
        """
        if isinstance(conv.weight, UninitializedParameter):
            return "has no weight yet; call the network once before"
        if torch.nn.utils.parametrize.is_parametrized(conv):
            return "has parametrisations, which would be lost"
        if any(getattr(conv, hooks, None) for hooks in HOOKS):
            return "has hooks, which would be lost"
        if tied:
            return "shares parameters with another module"
        if listed:
            return "is also in a plain list or dict of the network, where it would stay"
        if not conv.weight.is_floating_point():
            return f"has weights of {conv.weight.dtype}, and elements move along real numbers"
        kind = plain_class(conv)
        if not computes_its_convolution(conv, kind):
            return f"is a {type(conv).__name__}, which computes something else with its weight"
        try:
            size = self.size_for(conv)
            reach = checked_reach(size, conv.kernel_size, conv.dilation)
        except ValueError as error:
            return f"does not fit: {error}"
        if size != reach and not has_padding(conv):
            return "has no padding that could grow with the kernel"
        if self.start == "dense" and not conv.weight.is_meta and not conv.weight.isfinite().all():
            return "has a weight with NaN or infinity, to which no elements are close"
        cells = conv.out_channels * (conv.in_channels // conv.groups) * math.prod(size)
        if cells > MOST_CELLS:
            return f"would have kernels of {cells:,} cells, more than {MOST_CELLS:,}"
        return None


def as_rules(rules: Rule | Mapping | Iterable[Rule | Mapping]) -> list[Rule]:
    if isinstance(rules, (Rule, Mapping, str)) or not isinstance(rules, Iterable):
        rules = [rules]
    made = list(map(as_rule, rules))
    if not made:
        raise ValueError("rules must name at least one convolution, and there are none")
    return made


def as_rule(given: Rule | Mapping) -> Rule:
    if isinstance(given, Rule):
        return given
    known = [field.name for field in fields(Rule)]
    if not isinstance(given, Mapping) or "where" not in given or not set(given) <= set(known):
        raise ValueError(
            f"rules has {given!r}; each must be a Rule, or a dict of where and, as it may be, "
            f"others of {', '.join(known)}"
        )
    return Rule(**given)


HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def convolutions_of(model: nn.Module) -> dict[str, nn.Module]:
    """Every plain convolution, transposed ones left out, by its first name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, tuple(LAYERS))}


def listed_modules(model: nn.Module) -> set[nn.Module]:
    """Modules that parts of a network hold beside their named ones, in lists or dicts of Python."""
    found: set[nn.Module] = set()
    seen: set[int] = set()
    for module in model.modules():
        held = [value for name, value in vars(module).items() if name != "_modules"]
        while held:
            value = held.pop()
            if isinstance(value, nn.Module):
                found.add(value)
            elif isinstance(value, (list, tuple, set, dict)) and id(value) not in seen:
                # A list may hold itself.
                seen.add(id(value))
                held.extend(value.values() if isinstance(value, dict) else value)
    return found


def has_padding(conv: nn.Module) -> bool:
    return conv.padding == "same" or (conv.padding != "valid" and max(conv.padding) > 0)


def plain_class(conv: nn.Module) -> type[nn.Module]:
    return next(kind for kind in LAYERS if isinstance(conv, kind))


def is_depthwise(conv: nn.Module) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels


def kind_of(conv: nn.Module) -> str:
    if is_depthwise(conv) and conv.groups > 1:
        return "depthwise"
    return "dense" if conv.groups == 1 else f"grouped ({conv.groups})"


def equals(asked: Size, given: tuple[int, ...]) -> bool:
    return tuple(given) == ((asked,) * len(given) if is_whole(asked) else tuple(asked))


def in_cells(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
