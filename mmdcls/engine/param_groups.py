"""The optimiser rule: which parameters learn at which rate, under which weight decay."""

import logging

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from mmdcls.dcls import group_table
from mmdcls.dcls.custom_keys import check_multiplier, unused_sentence
from mmdcls.dcls.parameter_groups import GroupRule, is_in_pieces
from mmdcls.registry import OPTIM_WRAPPER_CONSTRUCTORS, check_type

from .layer_depth import depths_of
from .position_travel import refuse_unsettled

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
        where the backbone says which layer it belongs to (see `depths_of`), and everything
        outside the backbone learns at lr. Default 1, which asks nothing of the backbone.
    decay_type: "layer_wise" (default) or "stage_wise".
    num_layers: the number of layers, where it shall not be the backbone's own.
    position_lr_mult: multiplies the rate of positions and sigma. Default 1, in effect what the
        published models for dense prediction were trained with; the method's value is 5.
    position_travel: in place of it, how far a position can travel in the whole training, in radii
        of its kernel (half of the longest side): its rate, and that of sigma, follows from the
        schedule (`PositionTravel`), whatever lr and decay_rate are. Under Adam and its kin only.
    custom_keys: as in mmengine; the longest key that is part of a parameter's name multiplies its
        rate by lr_mult and decides its weight decay by decay_mult. Ways of position_travel are
        multiplied by keys that name positions or sigma, and by 0. Nothing else is taken.

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
        self.rule = GroupRule(self.base_lr, self.base_wd, **options)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        wrapper = super().__call__(model)
        if self.rule.position_travel is not None:
            wrapper.optimizer.register_step_pre_hook(refuse_unsettled)
        return wrapper

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        """Append one group for each combination of rate and weight decay, and log a table."""
        if is_in_pieces(module):
            raise ValueError(
                "the parameters are cut into pieces without shape, so that weight decay cannot be "
                "decided by shape; use strategy=dict(type='mmdcls.FSDPStrategy')"
            )
        rule = self.rule
        depths = None
        if rule.decay_rate < 1:
            depths = depths_of(module, rule.decay_type, rule.num_layers)
        groups = rule.groups(module, depths)
        params.extend(groups)
        print_log(group_table(groups), logger="current")
        if unused := self.rule.unused_keys(module):
            sentence = unused_sentence("paramwise_cfg.custom_keys", unused)
            print_log(sentence, logger="current", level=logging.WARNING)


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
