"""Parameters and multiply-adds of networks whose DCLS layers are merged to plain convolutions."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules import activation, batchnorm, conv, instancenorm, pooling
from torch.utils.flop_counter import FlopCounterMode

from mmdcls.dcls import merged

NORMS = (batchnorm._BatchNorm, instancenorm._InstanceNorm, nn.GroupNorm)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, activation.ELU)
POOLINGS = (
    pooling._MaxPoolNd,
    pooling._AvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
    pooling._AdaptiveAvgPoolNd,
)


@dataclass
class Cost:
    """Of one run of a part of a network.

    multiply_adds: of convolutions and products of matrices, as torch counts them.
    cell_by_cell: what tables of mmseg and mmdet add to these, counted by mmcv 1: one for every
        value to which a convolution adds a bias, two for one that a batch, group or instance norm
        scales, one without an affine part, one for each value out of a ReLU and its kin or into a
        pooling. Layer norms, GELU, interpolation and the biases of linear layers count nothing.
    """

    multiply_adds: int = 0
    cell_by_cell: int = 0
    has_run: bool = False


def parameters(module: nn.Module) -> int:
    """Those that several modules share count once."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def multiply_adds(module: nn.Module, shape: tuple[int, ...], trim: bool = True) -> int:
    """Of one input of this shape (channels, height, width), DCLS merged to plain convolutions.

    trim: without the borders of kernels that no element reaches.
    """
    plain = merged(module, trim)
    # Not in one line: mm's backbones return nothing.
    plain.eval()
    parameter = next(plain.parameters())
    with costs_of({"": plain}) as costs:
        plain(torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype))
    return costs[""].multiply_adds


@contextmanager
def costs_of(parts: Mapping[str, nn.Module]) -> Iterator[dict[str, Cost]]:
    """What each part costs in all its calls within; no part lies in another."""
    costs = {name: Cost() for name in parts}
    with FlopCounterMode(display=False) as counter, ExitStack() as hooks:
        for name, part in parts.items():
            watch(part, costs[name], counter, hooks)
        yield costs


def watch(part: nn.Module, cost: Cost, counter: FlopCounterMode, hooks: ExitStack) -> None:
    def enter(module: nn.Module, inputs: tuple) -> None:
        cost.multiply_adds -= counter.get_total_flops() // 2

    def leave(module: nn.Module, inputs: tuple, output: object) -> None:
        cost.multiply_adds += counter.get_total_flops() // 2
        cost.has_run = True

    def add(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        cost.cell_by_cell += cells(module, inputs[0], output)

    # A list of heads is never called itself.
    for called in part if isinstance(part, nn.ModuleList) else [part]:
        hooks.callback(called.register_forward_pre_hook(enter).remove)
        hooks.callback(called.register_forward_hook(leave).remove)
    counted = (conv._ConvNd, *NORMS, *ACTIVATIONS, *POOLINGS)
    for module in part.modules():
        if isinstance(module, counted):
            hooks.callback(module.register_forward_hook(add).remove)


def cells(module: nn.Module, x: Tensor, y: Tensor) -> int:
    if isinstance(module, conv._ConvNd):
        return 0 if module.bias is None else y.numel()
    if isinstance(module, NORMS):
        return x.numel() * (2 if module.affine else 1)
    return x.numel() if isinstance(module, POOLINGS) else y.numel()
