"""The optimiser rule: which parameters learn at which rate, under which weight decay."""

import logging

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from mmdcls.dcls import ElementPositions
from mmdcls.dcls.arguments import check_choice, check_number, check_whole
from mmdcls.registry import OPTIM_WRAPPER_CONSTRUCTORS, check_type
from mmdcls.wrapping import without_wrappers

from .position_travel import refuse_unsettled

DECAY_TYPES = ("layer_wise", "stage_wise")
OPTIONS = (
    "decay_rate",
    "decay_type",
    "num_layers",
    "position_lr_mult",
    "position_travel",
    "custom_keys",
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DclsOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Rates that decay with depth; positions and sigma at a rate of their own, without decay.

    paramwise_cfg:
    decay_rate: a parameter of layer i learns at lr * decay_rate ** (number of layers + 1 - i),
        where the backbone says which layer it belongs to (`get_layer_depth`), and everything
        outside the backbone learns at lr. Default 1, which asks nothing of the backbone.
    decay_type: "layer_wise" (default) or "stage_wise".
    num_layers: the number of layers, where it shall not be the backbone's own.
    position_lr_mult: multiplies the rate of positions and sigma. Default 1, in effect what the
        published models for dense prediction were trained with; the method's value is 5.
    position_travel: in place of it, how far a position can travel in the whole training, in radii
        of its kernel (half of the longest side): its rate, and that of sigma, follows from the
        schedule (`PositionTravel`), whatever lr and decay_rate are. Under Adam and its kin only.
    custom_keys: as in mmengine; the longest key that is part of a parameter's name multiplies its
        rate by lr_mult and decides its weight decay by decay_mult. Nothing else is taken.

    One-dimensional parameters (biases, norms, layer scale) have no weight decay.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        check_optimizer(optim_wrapper_cfg)
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def _validate_cfg(self) -> None:
        if not isinstance(self.paramwise_cfg, dict):
            raise ValueError(f"paramwise_cfg={self.paramwise_cfg!r} must be a dict, or left out")
        options = self.paramwise_cfg
        # mmengine builds no groups at all where no option is given.
        self.paramwise_cfg = {"decay_rate": 1.0, **options}
        if unknown := set(options) - set(OPTIONS):
            raise ValueError(
                f"paramwise_cfg has unknown options {sorted(map(str, unknown))}; "
                f"{type(self).__name__} takes {', '.join(OPTIONS)}"
            )
        self.decay_rate = options.get("decay_rate", 1.0)
        within = "above 0 and at most 1"
        check_number("decay_rate", self.decay_rate, within, lambda value: 0 < value <= 1)
        self.decay_type = options.get("decay_type", "layer_wise")
        check_choice("decay_type", self.decay_type, DECAY_TYPES)
        self.position_lr_mult = options.get("position_lr_mult", 1.0)
        check_multiplier("position_lr_mult", self.position_lr_mult)
        self.position_travel = options.get("position_travel")
        if self.position_travel is not None:
            within = "above 0 and at most 1e9, in kernel radii"
            check_number("position_travel", self.position_travel, within, lambda v: 0 < v <= 1e9)
            if "position_lr_mult" in options:
                raise ValueError(
                    f"paramwise_cfg has position_lr_mult={self.position_lr_mult!r} and "
                    f"position_travel={self.position_travel!r}: both say how fast positions learn, "
                    f"leave one out"
                )
        self.num_layers = options.get("num_layers")
        if self.num_layers is not None:
            check_whole("num_layers", self.num_layers, least=1)
        check_custom_keys(options.get("custom_keys", {}), self.base_wd)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        wrapper = super().__call__(model)
        if self.position_travel is not None:
            wrapper.optimizer.register_step_pre_hook(refuse_unsettled)
        return wrapper

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        """Append one group for each combination of rate and weight decay, and log a table."""
        backbones = {
            without_wrappers(f"{name}." if name else ""): child
            for name, child in module.named_modules()
            if hasattr(child, "get_layer_depth")
        }
        if self.decay_rate < 1 and not backbones:
            raise ValueError(
                f"decay_rate={self.decay_rate} needs a backbone with get_layer_depth, such as "
                f"mmdcls.DclsConvNeXt, and {type(module).__name__} has none; use decay_rate=1"
            )
        owners = {
            id(parameter): child
            for child in module.modules()
            if isinstance(child, ElementPositions)
            for parameter in (child.positions, child.sigma)
            if parameter is not None
        }
        if any(parameter.ndim == 1 for parameter in module.parameters() if id(parameter) in owners):
            raise ValueError(
                "the parameters are cut into pieces without shape, so that weight decay cannot be "
                "decided by shape; use strategy=dict(type='mmdcls.FSDPStrategy')"
            )
        groups: dict[str, dict] = {}
        unused = set(self.paramwise_cfg.get("custom_keys", {}))
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            name = without_wrappers(name)
            unused -= {key for key in unused if key in name}
            owner = owners.get(id(parameter))
            layer, rate = self._layer_rate(name, backbones)
            key, custom = self._custom(name)
            travel = self._travel(owner) * custom.get("lr_mult", 1.0)
            decay = 0.0 if owner or parameter.ndim <= 1 else 1.0
            label = "positions" if owner else "decay" if decay else "no_decay"
            if travel:
                layer, rate = "", 1.0
                label = f"positions_{'x'.join(map(str, owner.kernel_size))}"
            else:
                rate *= custom.get("lr_mult", 1.0) * (self.position_lr_mult if owner else 1.0)
            decay = custom.get("decay_mult", decay)
            group_name = ".".join(filter(None, (layer, label, key)))
            # From whatever rate but 0 the schedule tells the one that positions need.
            base_lr = self.base_lr or 1.0 if travel else self.base_lr
            group = dict(params=[], lr=base_lr * rate, group_name=group_name)
            if travel:
                group["position_travel"] = travel
            if self.base_wd is not None:
                group["weight_decay"] = self.base_wd * decay
            groups.setdefault(group_name, group)["params"].append(parameter)
        params.extend(groups.values())
        print_log(table(groups), logger="current")
        if unused:
            print_log(
                f"paramwise_cfg.custom_keys changes nothing by {', '.join(sorted(unused))}: no "
                f"parameter that learns has that in its name.",
                logger="current",
                level=logging.WARNING,
            )

    def _travel(self, owner: ElementPositions | None) -> float:
        """In cells; 0 where positions learn at a multiple of the rate, as sigma does then."""
        if owner is None or self.position_travel is None:
            return 0.0
        return self.position_travel * (max(owner.kernel_size) - 1) / 2

    def _layer_rate(self, name: str, backbones: dict[str, nn.Module]) -> tuple[str, float]:
        if self.decay_rate == 1:
            return "", 1.0
        for prefix, backbone in backbones.items():
            if name.startswith(prefix):
                layer, top = backbone.get_layer_depth(
                    name, prefix, self.decay_type, self.num_layers
                )
                # Layers of one number in different backbones learn at different rates.
                owner = prefix if len(backbones) > 1 else ""
                return f"{owner}layer_{layer}", self.decay_rate ** (top - layer)
        return "head", 1.0

    def _custom(self, name: str) -> tuple[str, dict]:
        keys = [key for key in self.paramwise_cfg.get("custom_keys", {}) if key in name]
        if not keys:
            return "", {}
        key = min(keys, key=lambda key: (-len(key), key))
        return key, self.paramwise_cfg["custom_keys"][key]


def check_optimizer(optim_wrapper_cfg: object) -> None:
    """Raises ValueError for what mmengine meets with a bare assertion or a KeyError."""
    optimizer = optim_wrapper_cfg.get("optimizer") if isinstance(optim_wrapper_cfg, dict) else None
    if not isinstance(optimizer, dict):
        raise ValueError(
            f"optim_wrapper={optim_wrapper_cfg!r} needs optimizer=dict(type=..., lr=...)"
        )
    check_type("optimizer.type", optimizer.get("type"), OPTIMIZERS)
    check_type("optim_wrapper.type", optim_wrapper_cfg.get("type", "OptimWrapper"), OPTIM_WRAPPERS)
    if "lr" not in optimizer:
        raise ValueError("optimizer needs an lr, to derive the rates of the groups from")
    for name in ("lr", "weight_decay"):
        check_multiplier(f"optimizer.{name}", optimizer.get(name, 0.0))


def check_multiplier(name: str, value: object) -> None:
    # Beyond, products of several overflow in float32.
    check_number(name, value, "at least 0 and at most 1e9", lambda value: 0 <= value <= 1e9)


def check_custom_keys(custom_keys: object, base_wd: float | None) -> None:
    if not isinstance(custom_keys, dict):
        raise ValueError(
            f"custom_keys={custom_keys!r} must be a dict, from a part of a name to "
            f"dict(lr_mult=..., decay_mult=...)"
        )
    for key, custom in custom_keys.items():
        if not isinstance(key, str) or not key:
            raise ValueError(f"custom_keys has the key {key!r}, which is no part of a name")
        where = f"custom_keys[{key!r}]"
        if not isinstance(custom, dict) or not set(custom) <= {"lr_mult", "decay_mult"}:
            raise ValueError(f"{where}={custom!r} must be a dict of lr_mult, decay_mult or both")
        for name, value in custom.items():
            check_multiplier(f"{where}.{name}", value)
        if "decay_mult" in custom and base_wd is None:
            raise ValueError(f"{where}.decay_mult needs a weight_decay in the optimizer")


def table(groups: dict[str, dict]) -> str:
    width = max(map(len, groups), default=0)
    lines = [f"{'group':{width}}  {'rate':>10}  {'decay':>8}  parameters"]
    for name, group in groups.items():
        count = sum(parameter.numel() for parameter in group["params"])
        decay = group.get("weight_decay", 0.0)
        lines.append(f"{name:{width}}  {group['lr']:>10.3g}  {decay:>8.3g}  {count:,}")
    return "Optimiser groups\n" + "\n".join(lines)
