"""Which parameters learn at which rate, under which weight decay, for any optimiser of torch."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from .arguments import check_choice, check_number, check_whole
from .custom_keys import check_custom_keys, check_multiplier, unused_sentence
from .elements import PLACES, ElementPositions, position_owners
from .groups import borrowers_from_outside
from .travel import highest_rate, leap, travel_rate
from .wrappers import unwrapped, without_wrappers

# From the name of a parameter in the model to its layer and the topmost one, that of the heads.
Depth = Callable[[str], tuple[int, int]]
DECAY_TYPES = ("layer_wise", "stage_wise")


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    *,
    position_lr_mult: float | None = None,
    position_travel: float | None = None,
    schedule: Sequence[float] | Callable[[float], Sequence[float]] | None = None,
    decay_rate: float = 1.0,
    decay_type: str = "layer_wise",
    num_layers: int | None = None,
    custom_keys: Mapping[str, dict] | None = None,
) -> list[dict]:
    """Groups for an optimiser: every parameter that learns is in one of them, under its
    `group_name`, with a `lr` and a `weight_decay` of its own.

    Positions and sigma have no weight decay, nor have one-dimensional parameters (biases, norms,
    layer scale).

    position_lr_mult: multiplies the rate of positions and sigma. Default 1; the method's is 5.
    position_travel: in place of it, how far a position can travel in the whole training, in radii
        of its kernel (half of the longest side). Its rate, and that of sigma, follows from the
        schedule, whatever lr and decay_rate are. It holds for Adam and its kin, whose steps are at
        most about as long as their rate.
    schedule: for position_travel, of each step of the optimiser the factor that the schedule
        multiplies initial rates with, [1.0] * steps where there is none; or a function that takes
        an initial rate and gives the rates of all steps, such as `scheduled_rates`.
    decay_rate: a parameter of layer i learns at lr * decay_rate ** (top - i). Which layer that is
        and which is the topmost, says the module of the model that has a method
        get_layer_depth(name, prefix, decay_type, num_layers) -> (i, top), of the parameters in it;
        prefix is the name of the module and a dot. What is outside of it learns at lr.
    decay_type, num_layers: for that method: "layer_wise" or "stage_wise", and the number of layers
        where it shall not be the module's own.
    custom_keys: from a part of a name to dict(lr_mult=..., decay_mult=...); the longest that is
        part of a parameter's name multiplies its rate and decides its weight decay. Ways of
        position_travel are multiplied by keys that name positions or sigma, and by 0.

    Raises ValueError for options that do not fit each other or the model.
    """
    check_multiplier("lr", lr)
    check_multiplier("weight_decay", weight_decay)
    keys = {} if custom_keys is None else custom_keys
    rule = GroupRule(
        lr,
        weight_decay,
        decay_rate,
        decay_type,
        num_layers,
        position_lr_mult,
        position_travel,
        keys,
    )
    if (position_travel is None) != (schedule is None):
        raise ValueError(
            f"position_travel={position_travel!r} and schedule={schedule!r} need each other: how "
            f"far positions can travel, and the factors of the rate, one for each step"
        )
    if is_in_pieces(model):
        raise ValueError(
            "the parameters are cut into pieces without shape, so that weight decay cannot be "
            "decided by shape; take DistributedDataParallel, which leaves them whole"
        )
    model = unwrapped(model)
    if isinstance(schedule, Iterator):
        # For each group of positions anew.
        schedule = list(schedule)
    groups = rule.groups(model)
    highest = 0.0
    for group in groups:
        if "position_travel" in group:
            group["lr"] = travel_rate(group.pop("position_travel"), schedule)
            highest = max(highest, highest_rate(group["lr"], schedule))
    if sentence := leap(highest):
        warnings.warn(sentence, stacklevel=2)
    if unused := rule.unused_keys(model):
        warnings.warn(unused_sentence("custom_keys", unused), stacklevel=2)
    if borrowers := borrowers_from_outside(model):
        warnings.warn(
            f"{', '.join(borrowers)} use positions of layers outside of the model: those learn "
            f"with none of its groups, and are not in its state. Pass the whole network.",
            stacklevel=2,
        )
    return groups


@dataclass(frozen=True)
class GroupRule:
    """The options of `parameter_groups`, checked.

    weight_decay: None leaves it to the optimiser.
    """

    lr: float
    weight_decay: float | None
    decay_rate: float = 1.0
    decay_type: str = "layer_wise"
    num_layers: int | None = None
    position_lr_mult: float | None = None
    position_travel: float | None = None
    custom_keys: Mapping[str, dict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        within = "above 0 and at most 1"
        check_number("decay_rate", self.decay_rate, within, lambda value: 0 < value <= 1)
        check_choice("decay_type", self.decay_type, DECAY_TYPES)
        if self.position_lr_mult is not None:
            check_multiplier("position_lr_mult", self.position_lr_mult)
        if self.position_travel is not None:
            within = "above 0 and at most 1e9, in kernel radii"
            check_number("position_travel", self.position_travel, within, lambda v: 0 < v <= 1e9)
            if self.position_lr_mult is not None:
                raise ValueError(
                    f"position_lr_mult={self.position_lr_mult!r} and "
                    f"position_travel={self.position_travel!r}: both say how fast positions learn, "
                    f"leave one out, or set one that is inherited to None"
                )
        if self.num_layers is not None:
            check_whole("num_layers", self.num_layers, least=1)
        check_custom_keys(self.custom_keys, self.weight_decay)

    def groups(self, model: nn.Module, depths: Mapping[str, Depth] | None = None) -> list[dict]:
        """One group for each combination of rate and weight decay.

        With position_travel, groups of positions have it in cells, as `position_travel`, and a rate
        that is yet to be set.

        depths: who says how deep a parameter lies, by the prefix of its name; None asks the modules
            with get_layer_depth. Not asked where decay_rate is 1.
        """
        if depths is None:
            depths = self._depths(model)
        if self.decay_rate < 1 and not depths:
            raise ValueError(
                f"decay_rate={self.decay_rate} needs a backbone with get_layer_depth, such as "
                f"mmdcls.DclsConvNeXt, and {type(model).__name__} has none; use decay_rate=1"
            )
        owners = owners_by_parameter(model)
        groups: dict[str, dict] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                name, owner = without_wrappers(name), owners.get(id(parameter))
                group = self._group(name, parameter, owner, depths)
                groups.setdefault(group["group_name"], group)["params"].append(parameter)
        return list(groups.values())

    def _depths(self, model: nn.Module) -> dict[str, Depth]:
        found = {}
        for name, child in model.named_modules():
            if hasattr(child, "get_layer_depth"):
                prefix = without_wrappers(f"{name}." if name else "")
                options = dict(decay_type=self.decay_type, num_layers=self.num_layers)
                found[prefix] = partial(child.get_layer_depth, prefix=prefix, **options)
        return found

    def unused_keys(self, model: nn.Module) -> list[str]:
        """Keys that are part of the name of no parameter that learns."""
        names = [
            without_wrappers(name)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        return sorted(key for key in self.custom_keys if not any(key in name for name in names))

    def _group(
        self,
        name: str,
        parameter: nn.Parameter,
        owner: ElementPositions | None,
        depths: Mapping[str, Depth],
    ) -> dict:
        """The group of a parameter, yet without parameters."""
        layer, rate = self._layer_rate(name, depths)
        key, custom = self._custom(name)
        factor = custom.get("lr_mult", 1.0)
        travel = self._travel(owner)
        # A rate of a whole part is one of its weights: how far positions go does not hang on it.
        if factor == 0 or any(kind in key for kind in PLACES):
            travel *= factor
        is_owned = owner is not None
        decay = 0.0 if is_owned or parameter.ndim <= 1 else 1.0
        label = "positions" if is_owned else "decay" if decay else "no_decay"
        if travel:
            layer, rate = "", 1.0
            label = f"positions_{'x'.join(map(str, owner.kernel_size))}"
        else:
            faster = 1.0 if self.position_lr_mult is None else self.position_lr_mult
            rate *= factor * (faster if is_owned else 1.0)
        decay = custom.get("decay_mult", decay)
        # From whatever rate but 0 the schedule tells the one that positions need.
        base_lr = self.lr or 1.0 if travel else self.lr
        group_name = ".".join(filter(None, (layer, label, key)))
        group = dict(params=[], lr=base_lr * rate, group_name=group_name)
        if travel:
            group["position_travel"] = travel
        if self.weight_decay is not None:
            group["weight_decay"] = self.weight_decay * decay
        elif decay == 0:
            # The optimiser's own default would decay what is never to be: AdamW has 0.01.
            group["weight_decay"] = 0.0
        return group

    def _travel(self, owner: ElementPositions | None) -> float:
        """In cells; 0 where positions learn at a multiple of the rate, as sigma does then."""
        if owner is None or self.position_travel is None:
            return 0.0
        return self.position_travel * (max(owner.kernel_size) - 1) / 2

    def _layer_rate(self, name: str, depths: Mapping[str, Depth]) -> tuple[str, float]:
        if self.decay_rate == 1:
            return "", 1.0
        for prefix, depth in depths.items():
            if name.startswith(prefix):
                layer, top = depth(name)
                # Layers of one number in different backbones learn at different rates.
                owner = prefix if len(depths) > 1 else ""
                return f"{owner}layer_{layer}", self.decay_rate ** (top - layer)
        return "head", 1.0

    def _custom(self, name: str) -> tuple[str, dict]:
        keys = [key for key in self.custom_keys if key in name]
        if not keys:
            return "", {}
        key = min(keys, key=lambda key: (-len(key), key))
        return key, self.custom_keys[key]


def owners_by_parameter(model: nn.Module) -> dict[int, ElementPositions]:
    """Of positions and sigma, by their id."""
    return {
        id(parameter): owner
        for owner in position_owners(model).values()
        for parameter in (owner.positions, owner.sigma)
        if parameter is not None
    }


def is_in_pieces(model: nn.Module) -> bool:
    """Whether positions have lost their shape, as FullyShardedDataParallel cuts them."""
    owned = owners_by_parameter(model)
    return any(parameter.ndim == 1 for parameter in model.parameters() if id(parameter) in owned)


def group_table(groups: Sequence[dict]) -> str:
    """Rate, weight decay and number of parameters of each group, as text."""
    width = max((len(group["group_name"]) for group in groups), default=0)
    lines = [f"{'group':{width}}  {'rate':>10}  {'decay':>8}  parameters"]
    for group in groups:
        count = sum(parameter.numel() for parameter in group["params"])
        name, rate, decay = group["group_name"], group["lr"], group.get("weight_decay", 0.0)
        # The schedule is yet to say.
        shown = "travel" if "position_travel" in group else f"{rate:.3g}"
        lines.append(f"{name:{width}}  {shown:>10}  {decay:>8.3g}  {count:,}")
    return "Optimiser groups\n" + "\n".join(lines)
