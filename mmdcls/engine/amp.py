from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmdcls.registry import OPTIM_WRAPPERS


class CpuAmpOptimWrapper(OptimWrapper):
    """bfloat16 autocast on CPU. Its range is float32's, so the loss needs no scaling."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield


@OPTIM_WRAPPERS.register_module(name="AmpOptimWrapper")
def amp_optim_wrapper(
    loss_scale: str | float | dict = "dynamic",
    dtype: str | None = None,
    use_fsdp: bool = False,
    **others,
) -> OptimWrapper:
    """Mixed precision wherever training runs: mmengine's on accelerators, bfloat16 on CPU.

    mmengine's AmpOptimWrapper refuses CPUs. There, loss_scale and use_fsdp have no effect, and
    dtype must be None or "bfloat16".
    """
    if torch.accelerator.is_available():
        return AmpOptimWrapper(loss_scale, dtype, use_fsdp, **others)
    if dtype not in (None, "bfloat16"):
        raise ValueError(f"dtype={dtype!r}: mixed precision on CPU is 'bfloat16', or leave it out")
    return CpuAmpOptimWrapper(**others)
