"""Launch kernels in Triton, again and again, at little cost."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

# Bytes on which memory starts that is read and written in wide pieces.
ALIGNED = 16
COMPILED: dict[tuple, Any] = {}


def launch(
    kernel: Any, grid: tuple[int, int, int], tensors: tuple[Tensor, ...], *numbers: float,
    num_warps: int = 4, **constants: Any
) -> None:  # fmt: skip
    """kernel[grid](*tensors, *numbers, **constants), with its arguments in this order.

    Triton looks at every argument to see which of the compiled kernels serves it, which takes
    longer than many of them run. Here that is asked once: numbers change nothing (they must be in
    the kernel's do_not_specialize), and tensors that do not start on 16 bytes take the long way.
    """
    device = tensors[0].device
    key = (id(kernel), device, num_warps, *[t.dtype for t in tensors], *constants.values())
    known = COMPILED.get(key)
    # A loop, for this is asked a dozen times for every layer of a step.
    aligned = True
    for tensor in tensors:
        aligned &= tensor.data_ptr() % ALIGNED == 0
    with on(device):
        if known is not None and aligned:
            known[grid](*tensors, *numbers, *constants.values())
            return
        options = dict(num_warps=num_warps, num_stages=1)
        compiled = kernel[grid](*tensors, *numbers, **constants, **options)
    # The interpreter compiles nothing.
    if compiled is not None and aligned:
        COMPILED[key] = compiled


def on(device: torch.device) -> Any:
    """Triton launches on the current device."""
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(device)
