"""Networks whose DCLS layers have become the plain convolutions they equal."""

import copy

from torch import nn

from .elements import ElementPositions, Shares
from .layers import DclsNd


def merged(model: nn.Module, trim: bool = True) -> nn.Module:
    """A copy of the model in which every DCLS layer is a plain convolution.

    trim: without the borders of kernels that no element reaches.

    A layer without positions of its own takes those of the nearest module above that has some.
    Other layers that make their kernels become what their own `to_conv(trim=...)` says.
    """
    return replaced(copy.deepcopy(model), None, trim)


def replaced(module: nn.Module, shares: Shares | None, trim: bool) -> nn.Module:
    if isinstance(module, DclsNd):
        return module.to_conv(shares if module.positions is None else None, trim=trim)
    if hasattr(module, "to_conv"):
        return module.to_conv(trim=trim)
    if isinstance(module, ElementPositions) and module.positions is not None:
        shares = module.shares()
        module.positions = module.sigma = None
    # Not named_children(), which names a module of two names once.
    for name, child in list(module._modules.items()):
        if child is not None:
            setattr(module, name, replaced(child, shares, trim))
    return module
