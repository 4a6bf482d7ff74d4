"""DCLS layers in place of plain convolutions, from which they start."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .depthwise import KEEPING_WAYS
from .fit import Fit, checked_reach, fit_elements

PLAIN = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def in_place_of(
    kind: type[nn.Module],
    conv: nn.Module,
    kernel_size: tuple[int, ...],
    kernel_count: int,
    interpolation: str = "bilinear",
    initial_spread: str = "normal",
    share_positions: bool = False,
) -> nn.Module:
    """A DCLS layer of the geometry of a plain `nn.ConvNd`, with its bias and a weight of its own.

    kind: `Dcls1d`, `Dcls2d` or `Dcls3d`.

    Raises ValueError where the dense kernel does not fit into kernel_size.
    """
    plain = PLAIN[kind.axes]
    if not isinstance(conv, plain):
        raise ValueError(f"{kind.__name__}.from_conv takes an nn.{plain.__name__}, got {conv}")
    if not computes_its_convolution(conv, plain):
        raise ValueError(
            f"{kind.__name__}.from_conv takes an nn.{plain.__name__}, and {type(conv).__name__} "
            f"computes something else with its weight"
        )
    reach = checked_reach(kernel_size, conv.kernel_size, conv.dilation)
    padding = conv.padding
    if padding != "same":
        # As many cells more as the kernel has grown.
        before = (0,) * kind.axes if padding == "valid" else padding
        grown = zip(before, kernel_size, reach, strict=True)
        padding = [p + (size - cells) // 2 for p, size, cells in grown]
    layer = kind(
        conv.in_channels,
        conv.out_channels,
        kernel_size,
        conv.stride,
        padding,
        groups=conv.groups,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
        kernel_count=kernel_count,
        interpolation=interpolation,
        initial_spread=initial_spread,
        share_positions=share_positions,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    layer.dense_size = tuple(conv.kernel_size)
    layer.dense_dilation = tuple(conv.dilation)
    for name, parameter in layer.named_parameters():
        source = conv.bias if name == "bias" else conv.weight
        parameter.requires_grad_(source.requires_grad)
    if conv.bias is not None:
        layer.bias.data.copy_(conv.bias)
    return layer.train(conv.training)


@torch.no_grad()
def start_from_dense(layers: Sequence[nn.Module], kernels: Tensor) -> Fit:
    """Give layers that share positions the elements that come closest to dense kernels.

    layers: DCLS layers, the owner of the positions first.
    kernels: (layers, out, in/groups, *dense size)
    """
    owner, layer = layers[0].owner, layers[0]
    fit = fit_elements(
        kernels,
        layer.kernel_size,
        layer.kernel_count,
        layer.interpolation,
        layer.dense_dilation,
        layer.initial_spread,
    )
    for layer, weight in zip(layers, fit.weights, strict=True):
        layer.weight.copy_(weight)
    owner.positions.copy_(fit.positions)
    if fit.sigma is not None:
        owner.sigma.copy_(fit.sigma)
    return fit


@torch.no_grad()
def computes_its_convolution(conv: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a convolution, which may be of a subclass, is the plain one of its weight."""
    if not {"forward", "_conv_forward"}.isdisjoint(vars(conv)):
        return False
    plain = (kind._conv_forward, *(keeping._conv_forward for keeping in KEEPING_WAYS.values()))
    if type(conv).forward is kind.forward and type(conv)._conv_forward in plain:
        return True
    own = {name for name, _ in (*conv.named_parameters(), *conv.named_buffers())}
    if not own <= {"weight", "bias"}:
        return False
    reach = [(k - 1) * d + 1 for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
    padding = reach if isinstance(conv.padding, str) else conv.padding
    shape = (1, conv.in_channels, *(r + 2 * p + 1 for r, p in zip(reach, padding, strict=True)))
    # A copy with values of its own serves a convolution without any, on the device "meta".
    conv = copy.deepcopy(conv).to_empty(device="cpu").float()
    for tensor in (conv.weight, conv.bias):
        if tensor is not None:
            tensor.copy_(ramp(tensor.shape, -1, 2))
    probe = ramp(shape, -1, 1)
    try:
        found = conv(probe)
    except Exception:
        # Whatever a forward of its own raises: it is not that of one map.
        return False
    wanted = kind._conv_forward(conv, probe, conv.weight, conv.bias)
    return isinstance(found, Tensor) and torch.equal(found, wanted)


def ramp(shape: Sequence[int], first: float, last: float) -> Tensor:
    """On the CPU and in float32, whatever torch's defaults are."""
    steps = torch.linspace(first, last, math.prod(shape), device="cpu", dtype=torch.float)
    return steps.reshape(shape)
