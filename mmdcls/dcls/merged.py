"""Networks whose DCLS layers have become the plain convolutions they equal."""

import copy

import torch
from torch import nn

from .elements import ElementPositions, Shares
from .geometry import in_numbers
from .layers import DclsNd


def merged(model: nn.Module, trim: bool = True, keep_ways: bool = False) -> nn.Module:
    """A copy of the model in which every DCLS layer is a plain convolution.

    trim: without the borders of kernels that no element reaches.
    keep_ways: depthwise layers of two and three axes become `DepthwiseConv2d`s and
        `DepthwiseConv3d`s, which convolve by the way that is the fastest, as the layers did;
        otherwise `nn.Conv2d`s and `nn.Conv3d`s, which need no mmdcls. Names and weights are the
        same.

    A layer without positions, its own or borrowed, takes those of the nearest module above that has
    some. One that stands in several places of the model stays one. Other layers that make their
    kernels become what their own `to_conv(trim=...)` says.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, DclsNd):
                # After forward a masked weight has a history, and torch copies none.
                module.refresh_pruned()
    model = replaced(copy.deepcopy(model), None, trim, keep_ways, {})
    # Not while layers are replaced: any of them may use what any module owns.
    for module in model.modules():
        if isinstance(module, ElementPositions):
            module.positions = module.sigma = None
    return model


def replaced(
    module: nn.Module, shares: Shares | None, trim: bool, keep_ways: bool, convs: dict
) -> nn.Module:
    """convs: what has become of layers, by layer and the shares that it was given."""
    if hasattr(module, "to_conv"):
        is_ours = isinstance(module, DclsNd)
        given = (shares,) if is_ours and module.owner is None else ()
        if (module, given) not in convs:
            options = dict(keep_ways=keep_ways) if is_ours else {}
            conv = convs[module, given] = module.to_conv(*given, trim=trim, **options)
            if is_ours:
                # Counters of FLOPs that trace, as mmengine's, overlook convolutions padded by name.
                plain = conv[-1] if isinstance(conv, nn.Sequential) else conv
                plain.padding = in_numbers(plain.padding, plain.kernel_size, plain.dilation)
        return convs[module, given]
    if isinstance(module, ElementPositions) and module.positions is not None:
        shares = module.shares()
    # Not named_children(), which names a module of two names once.
    for name, child in list(module._modules.items()):
        if child is not None:
            setattr(module, name, replaced(child, shares, trim, keep_ways, convs))
    return module
