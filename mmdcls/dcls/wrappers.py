"""Models that torch has wrapped, whole or in parts."""

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

# Of torch.compile, FSDP and activation checkpointing, which wrap any part of a model.
WRAPPED = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def without_wrappers(name: str) -> str:
    """The name in the model, where torch has wrapped parts of it, of a parameter or module."""
    return ".".join(part for part in name.split(".") if part not in WRAPPED)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside wrappers of processes and devices, and of the compiler."""
    while True:
        if isinstance(model, (DataParallel, DistributedDataParallel)):
            model = model.module
        elif "_orig_mod" in model._modules:
            model = model._orig_mod
        else:
            return model
