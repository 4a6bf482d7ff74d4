"""Parameters, gradients and optimiser state cut into one piece per process (FSDP of torch)."""

from copy import deepcopy

import torch
from mmengine._strategy import FSDPStrategy as MMEngineFSDPStrategy
from mmengine.dist import all_gather_object
from mmengine.optim import BaseOptimWrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from mmdcls.dcls.groups import is_above, position_groups
from mmdcls.dcls.wrappers import without_wrappers
from mmdcls.errors import InputError
from mmdcls.models.convnext import Block
from mmdcls.registry import STRATEGIES
from mmdcls.wrapping import is_cut, whole_parameters

AMP = ("AmpOptimWrapper", "mmdcls.AmpOptimWrapper")


@STRATEGIES.register_module()
class FSDPStrategy(MMEngineFSDPStrategy):
    """mmengine's strategy, for our optimiser rule, for torch >= 2.1, and for CPUs as well.

    The unit that is gathered, used and freed again is a block of the backbone, and what is not in
    one; `model_wrapper=dict(auto_wrap_policy=...)` chooses others. A module that is not called by
    its forward, such as a head of mmseg, cannot be a unit. `state_dict_cfg` is "full" by default:
    one file per checkpoint, from which runs without FSDP can start, and be resumed.
    """

    def __init__(
        self,
        *,
        model_wrapper: dict | None = None,
        state_dict_cfg: str | dict = "full",
        **options,
    ) -> None:
        on_cpu = not torch.accelerator.is_available()
        wrapper = dict(type="MMFullyShardedDataParallel", **(model_wrapper or {}))
        wrapper.setdefault("auto_wrap_policy", ModuleWrapPolicy({Block}))
        if on_cpu:
            wrapper["device_id"] = torch.device("cpu")
            if state_dict_cfg == "full":
                state_dict_cfg = full_state_on_cpu()
        super().__init__(model_wrapper=wrapper, state_dict_cfg=state_dict_cfg, **options)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        wrapped = super()._wrap_model(model)
        check_units(wrapped)
        return wrapped

    def build_optim_wrapper(
        self, optim_wrapper: BaseOptimWrapper | dict, model: nn.Module | None = None
    ) -> BaseOptimWrapper:
        """Groups depend on shapes, which the pieces do not have."""
        if isinstance(optim_wrapper, dict) and optim_wrapper.get("type") in AMP:
            optim_wrapper.setdefault("use_fsdp", True)
        with whole_parameters(model):
            return super().build_optim_wrapper(optim_wrapper, model)

    def optim_state_dict(self) -> dict:
        """One kind of state after the other, each copied.

        torch gathers all kinds in the same memory, and without GPUs returns views of it: AdamW's
        first moments would be saved as its second.
        """
        optimizer = self.optim_wrapper.optimizer
        own = optimizer.state_dict()
        kinds = all_gather_object({kind for state in own["state"].values() for kind in state})
        whole: dict = {}
        # An optimiser without state, such as plain SGD, has groups all the same.
        for kind in sorted(set().union(*kinds)) or (None,):
            states = {
                key: {kind: state[kind]} for key, state in own["state"].items() if kind in state
            }
            part = FullyShardedDataParallel.optim_state_dict(
                self.model, optimizer, dict(own, state=states)
            )
            # Only the first process gets anything.
            kept = whole.setdefault("state", {})
            for name, state in part.get("state", {}).items():
                kept.setdefault(name, {}).update(deepcopy(state))
            whole["param_groups"] = part.get("param_groups", [])
        return whole | dict(base_param_settings=self.optim_wrapper.base_param_settings)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """As mmengine's, with the arguments in the order that torch wants since 2.1."""
        if not all(isinstance(name, str) for name in state_dict["state"]):
            raise InputError(
                "A run without FSDP cannot be resumed with it: its optimiser's state has no names; "
                "resume without FSDP, or give its checkpoint as load_from, for the weights alone."
            )
        settings = state_dict.pop("base_param_settings", None)
        pieces = FullyShardedDataParallel.optim_state_dict_to_load(
            self.model, self.optim_wrapper.optimizer, state_dict
        )
        self.optim_wrapper.load_state_dict(pieces | dict(base_param_settings=settings))


def check_units(model: nn.Module) -> None:
    """Raises InputError where layers share positions that another unit would have freed."""
    units = [without_wrappers(name) for name, module in model.named_modules() if is_cut(module)]
    for group in position_groups(model):
        # The innermost that the owner is in.
        unit = max((name for name in units if is_above(name, group.name)), key=len)
        outside = [name for name in group.layers if not is_above(unit, name)]
        if outside:
            raise InputError(
                f"{outside[0]} uses the positions of {group.name}, in another unit of "
                f"auto_wrap_policy, which are freed when it runs: give a policy whose units are "
                f"whole stages, or share='layer' in the rule."
            )


def full_state_on_cpu() -> dict:
    """As "full", without moving to the CPU what is there: torch would copy memory it has freed."""
    return dict(
        state_dict_type="FULL_STATE_DICT",
        state_dict_config=dict(type="FullStateDictConfig", rank0_only=True),
        optim_state_dict_config=dict(type="FullOptimStateDictConfig", rank0_only=True),
    )
