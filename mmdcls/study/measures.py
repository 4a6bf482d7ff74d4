"""What a network's kernels have become."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmdcls.dcls import merged, position_owners
from mmdcls.dcls.statistics import (
    HALF_A_CELL,
    in_float,
    neighbour_distance,
    outside_plain,
    weight_within,
)


def kernel_figures(model: nn.Module) -> dict[str, float]:
    """mean_distance: of the elements from the centres of their kernels, in cells.
    near_another: share of elements within half a cell of another of the same kernel.
    outside_7x7: share of a kernel's absolute weight outside its middle 7x7 cells, in the mean over
        all kernels with more than one cell of convolutions that keep their maps' size.

    What a network has not is left out.
    """
    owners = position_owners(model).values()
    figures = {}
    if owners:
        distances = [in_float(owner.positions).norm(dim=0).flatten() for owner in owners]
        nearest = [neighbour_distance(owner.positions).flatten() for owner in owners]
        figures["mean_distance"] = torch.cat(distances).mean().item()
        near = torch.cat(nearest) < HALF_A_CELL
        figures["near_another"] = near.float().mean().item()
    outside = [outside_share(conv) for conv in spatial(merged(model))]
    if outside:
        figures["outside_7x7"] = torch.cat(outside).mean().item()
    return figures


def spatial(model: nn.Module) -> Iterator[nn.Conv2d]:
    for module in model.modules():
        is_spatial = isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1
        if is_spatial and max(module.stride) == 1:
            yield module


def outside_share(conv: nn.Conv2d) -> Tensor:
    """For each (out, in/groups) kernel, the share of its absolute weight that lies further than a
    dense 7x7 reaches from its centre on any axis; kernels of zeros are left out."""
    return outside_plain(weight_within(conv.weight, conv.dilation))


@contextmanager
def shapes_of_inputs(module: nn.Module) -> Iterator[list[torch.Size]]:
    """The shape of the first tensor that the module is called with, within; none where it is
    called with something else."""
    shapes: list[torch.Size] = []

    def see(module: nn.Module, inputs: tuple) -> None:
        if not shapes and inputs and isinstance(inputs[0], Tensor):
            shapes.append(inputs[0].shape)

    handle = module.register_forward_pre_hook(see)
    try:
        yield shapes
    finally:
        handle.remove()
