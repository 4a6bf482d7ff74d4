"""Custom operators without their cost, where nothing needs to see an operator.

The dispatcher's way through Python takes longer, for one call, than a GPU computes, and on
processors a twentieth of a training step in bfloat16.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

# Elsewhere, such as on meta tensors, nothing is computed that could be faster.
DEVICES = ("cpu", "cuda")
# Modes that trace before autograd are on a stack of their own.
PRE_DISPATCH = torch._C.DispatchKey.PreDispatch


def passes_by(tensor: Tensor) -> bool:
    """Whether a call is not compiled, traced, counted or handed on by anything."""
    return (
        not torch.compiler.is_compiling()
        and tensor.device.type in DEVICES
        and type(tensor) in (Tensor, nn.Parameter)
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._dispatch_tls_is_dispatch_key_included(PRE_DISPATCH)
        # They follow other tensors than this one, and refuse functions such as those made below.
        and not torch._C._are_functorch_transforms_active()
    )


def function_of(run: Callable, save: Callable, gradients: Callable) -> Callable:
    """As an operator with `register_autograd(gradients, setup_context=save)`."""

    class Passed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            output = run(*inputs)
            save(ctx, inputs, output)
            return output

        @staticmethod
        def backward(ctx, *grads):
            return gradients(ctx, *grads)

    def call(*inputs):
        return Passed.apply(*inputs) if torch.is_grad_enabled() else run(*inputs)

    return call
