"""Models inside wrappers: of processes, of test-time augmentation, of FSDP."""

from contextlib import AbstractContextManager, nullcontext

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel


def unwrapped(model: nn.Module) -> nn.Module:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def is_cut(model: nn.Module) -> bool:
    return isinstance(model, FullyShardedDataParallel)


def whole_parameters(model: nn.Module) -> AbstractContextManager:
    """Within it, cut parameters have all their values; changes to them are kept.

    All processes must enter it together.
    """
    if is_cut(model):
        return FullyShardedDataParallel.summon_full_params(model)
    return nullcontext()
