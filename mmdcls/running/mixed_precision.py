import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmdcls.dcls.arguments import check_choice, check_flag, check_number, check_whole
from mmdcls.registry import OPTIM_WRAPPERS

DTYPES = ("float16", "bfloat16", "float32", "float64")
# Of each type of clipping, the option that says how much, and the others.
CLIPPING = {
    "norm": ("max_norm", "norm_type", "error_if_nonfinite", "foreach"),
    "value": ("clip_value", "foreach"),
}


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
    accumulative_counts: int = 1,
    clip_grad: dict | None = None,
    **others,
) -> OptimWrapper:
    """Mixed precision wherever training runs: mmengine's on accelerators, bfloat16 on CPU.

    mmengine's AmpOptimWrapper refuses CPUs. There, loss_scale and use_fsdp have no effect, and
    dtype must be None or "bfloat16". Raises ValueError for arguments that do not fit.
    """
    if loss_scale != "dynamic" and not isinstance(loss_scale, dict):
        allowed = "above 0, or 'dynamic', or a dict of the options of torch's GradScaler"
        check_number("loss_scale", loss_scale, allowed, lambda value: value > 0)
    if dtype is not None:
        check_choice("dtype", dtype, DTYPES)
    check_flag("use_fsdp", use_fsdp)
    check_whole("accumulative_counts", accumulative_counts, least=1)
    check_clipping(clip_grad)
    others |= dict(accumulative_counts=accumulative_counts, clip_grad=clip_grad)
    if torch.accelerator.is_available():
        scale = loss_scale if isinstance(loss_scale, (str, dict)) else float(loss_scale)
        return AmpOptimWrapper(scale, dtype, use_fsdp, **others)
    if dtype not in (None, "bfloat16"):
        raise ValueError(f"dtype={dtype!r}: mixed precision on CPU is 'bfloat16', or leave it out")
    return CpuAmpOptimWrapper(**others)


def check_clipping(clip_grad: object) -> None:
    """mmengine leaves the options to torch's functions, which take what is wrong for a tensor."""
    if clip_grad is None:
        return
    if not isinstance(clip_grad, dict):
        raise ValueError(f"clip_grad={clip_grad!r} must be a dict such as dict(max_norm=1.0)")
    options = dict(clip_grad)
    kind = options.pop("type", "norm")
    check_choice("clip_grad.type", kind, CLIPPING)
    limit, *more = CLIPPING[kind]
    if limit not in options or not set(options) <= {limit, *more}:
        raise ValueError(
            f"clip_grad={clip_grad!r} with type={kind!r} needs {limit}, and may have "
            f"{', '.join(more)} beside it"
        )
    above_zero = dict(allowed="above 0", fits=lambda value: value > 0)
    check_number(f"clip_grad.{limit}", options.pop(limit), **above_zero)
    norm_type = options.pop("norm_type", 2)
    if norm_type != math.inf:
        check_number("clip_grad.norm_type", norm_type, **above_zero)
    for name, value in options.items():
        check_flag(f"clip_grad.{name}", value)
