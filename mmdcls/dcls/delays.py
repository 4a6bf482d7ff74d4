"""Kernels over time as delays: in whole steps, as a table for hardware, and one step after another.

A layer with padding="causal" delays its inputs: an element in cell j of S is a synapse whose delay
is S - 1 - j steps (arXiv 2306.17670). Delays are learned in positions that start anywhere
(initial_spread="uniform"), and are deployed on whole steps (`rounded`).

| one delay for each | layers | positions |
| --- | --- | --- |
| synapse | `Dcls1d(n, m, S)` | n m |
| axon | `Dcls1d(n, n, S, groups=n)`, then the weights, `nn.Conv1d(n, m, 1)` | n |
| dendrite | the weights, then `Dcls1d(m, m, S, groups=m)` | m |

Few of all synapses: `torch.nn.utils.prune.custom_from_mask(layer, "weight", mask)`, with a mask of
the shape of weight; what is masked has no effect, no gradient, and no row in `delay_table`.
After `prune.remove(layer, "weight")` the mask is a part of the weights, and copies are as of any
layer.

So that what is fed last still comes out, put zeros after it: the published network pads its input
by (S - 1) // 2 of them before every layer, `F.pad(x, (0, (S - 1) // 2))`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .conv import convolve
from .geometry import geometry_of, sides_of
from .layers import DclsNd
from .positions import position_limits


class Synapse(NamedTuple):
    """One row of a table of delays. source, target: channels. delay: in steps."""

    source: int
    target: int
    delay: int
    weight: float


@torch.no_grad()
def whole_delays(layer: DclsNd) -> Tensor:
    """The delays with which the layer is deployed, (out, in/groups, kernel_count), int64.

    Of the first axis, time, in steps: 0 to kernel_size - 1, rounded as `rounded` does; of a layer
    whose dilation was set, so many times that. Raises ValueError for a layer whose positions nobody
    owns, and for positions that are NaN.
    """
    if layer.owner is None:
        raise ValueError(
            "a layer with share_positions=True has no delays of its own; lend it positions with "
            "borrow_positions"
        )
    size = layer.kernel_size[0]
    positions = layer.owner.positions
    if size == 1:
        return torch.zeros_like(positions[0], dtype=torch.int64)
    if positions[0].isnan().any():
        raise ValueError("positions that are NaN are no delays: go back to weights before them")
    low, high = position_limits(size)
    return (high - positions[0].round().clamp(low, high).long()) * geometry_of(layer).dilation[0]


@torch.no_grad()
def delay_table(layer: DclsNd) -> list[Synapse]:
    """All that hardware needs of a rounded layer, beside its bias, in the order of sources.

    Elements that a synapse has with one delay are one row; rows without a weight are left out.
    Raises ValueError for kernels of several axes.
    """
    if layer.axes != 1:
        raise ValueError(f"a kernel of {layer.axes} axes is no table of delays: give a Dcls1d")
    delays = whole_delays(layer)
    layer.refresh_pruned()
    longest = (layer.kernel_size[0] - 1) * geometry_of(layer).dilation[0]
    kernel = delays.new_zeros((*delays.shape[:2], longest + 1), dtype=layer.weight.dtype)
    kernel.scatter_add_(2, delays, layer.weight)
    targets, sources, steps = kernel.nonzero(as_tuple=True)
    weights = kernel[targets, sources, steps]
    # Of its group.
    sources = sources + targets // (layer.out_channels // layer.groups) * delays.shape[1]
    columns = (column.tolist() for column in (sources, targets, steps, weights))
    return sorted(Synapse(*row) for row in zip(*columns, strict=True))


def step(
    layer: DclsNd, x: Tensor, past: Tensor | None = None, kernel: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One step of time of a causal layer: what comes out, and the past for the next step.

    Step after step this gives what the layer gives for the whole sequence. There is no other state
    than the past, and none is kept in the layer. It is differentiable, also through the past, and
    may be fed with what depends on earlier outputs.

    x       (N, in), for more axes than time (N, in, *cells)
    past    the inputs of the S - 1 steps before, (N, in, S - 1, *cells), the oldest first; None
            where nothing was before
    kernel  `layer.kernel()`, for many steps of one training step; by default it is made anew
    returns (N, out, *cells), and the past after this step

    Raises ValueError for layers that are not causal or have a stride, and for shapes that do not
    fit.
    """
    stride, padding, dilation = geometry_of(layer)
    if padding != "causal" or max(stride) > 1:
        raise ValueError(
            f"step needs a layer with padding='causal' and stride 1, got padding={padding!r} and "
            f"stride={stride}"
        )
    if x.dim() != layer.axes + 1 or x.shape[1] != layer.in_channels:
        cells = ", cells" * (layer.axes - 1)
        raise ValueError(
            f"x {tuple(x.shape)} must be one step of time, (N, {layer.in_channels}{cells})"
        )
    before = sides_of(padding, layer.kernel_size, dilation)[0][0]
    needed = (*x.shape[:2], before, *x.shape[2:])
    if past is None:
        past = x.new_zeros(needed)
    elif past.shape != needed:
        raise ValueError(
            f"past {tuple(past.shape)} must be the one that the step before returned, of shape "
            f"{needed}"
        )
    seen = torch.cat((past, x.unsqueeze(2)), 2)
    sides = ((0, 0), *sides_of("same", layer.kernel_size, dilation)[1:])
    kernel = layer.kernel() if kernel is None else kernel
    y = convolve(seen, kernel, layer.bias, stride, sides, "constant", layer.groups, dilation)
    return y.squeeze(2), seen[:, :, 1:]
