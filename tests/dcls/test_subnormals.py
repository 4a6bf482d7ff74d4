"""No number of ours is so small that it is subnormal, with which many CPUs compute slowly.

Of weights that could be learned: a weight of 1e-30 makes a kernel as small as it does in any
convolution. Not of float16, where 6e-5 is subnormal already, and worth keeping.
"""

import itertools

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers.cases import LAYERS, PLACES
from mmdcls.dcls import INTERPOLATIONS, DclsNd, merged, position_limits

# axes: kernel size, elements, side of the map
SIZES = {1: (63, 9, 16), 2: (23, 26, 6), 3: (13, 12, 4)}
SPREADS = {
    "as a new layer": lambda shape, low, high: torch.randn(shape) * 0.5,
    "off the grid": PLACES["off the grid"],
    "outside": PLACES["outside"],
}
WIDTHS = {"at the floor": 0.0, "as a new layer": None, "wide": 8.0}


def subnormal(tensor: Tensor) -> bool:
    return bool(((tensor != 0) & (tensor.abs() < torch.finfo(tensor.dtype).tiny)).any())


class Subnormals(TorchDispatchMode):
    """Names the operators that hand out a subnormal number."""

    def __init__(self) -> None:
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        # Memory that nothing was written to holds anything.
        for leaf in () if "empty" in str(func) else tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and subnormal(leaf):
                self.found.add(str(func))
        return result


def trained(axes: int, interpolation: str, place: str, width: str) -> DclsNd:
    """A layer with weights of all sizes, zeros among them."""
    size, count, _ = SIZES[axes]
    layer = LAYERS[axes](
        4, 4, size, padding=size // 2, groups=4, kernel_count=count, interpolation=interpolation
    )
    with torch.no_grad():
        layer.weight.normal_().mul_(10 ** (-6 * torch.rand_like(layer.weight)))
        layer.weight[..., ::5] = 0
        for row in layer.positions:
            row.copy_(SPREADS[place](row.shape, *position_limits(size)))
        if layer.sigma is not None and WIDTHS[width] is not None:
            layer.sigma.fill_(WIDTHS[width])
    return layer


def layers() -> list:
    """Widths only where there are some."""
    return [
        pytest.param(*case, id="-".join(map(str, case)))
        for case in itertools.product(SIZES, INTERPOLATIONS, SPREADS, WIDTHS)
        if INTERPOLATIONS[case[1]].has_sigma or case[3] == "as a new layer"
    ]


@pytest.mark.parametrize("axes, interpolation, place, width", layers())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_no_kernel_and_nothing_computed_on_its_way_is_subnormal(
    axes, interpolation, place, width, dtype
):
    layer = trained(axes, interpolation, place, width).to(dtype)
    x = torch.randn(1, 4, *[SIZES[axes][2]] * axes, dtype=dtype, requires_grad=True)
    with Subnormals() as subnormals:
        y = layer(x)
        y.backward(torch.randn_like(y))
        with torch.no_grad():
            layer.eval()(x)
    assert not subnormals.found
    for kernel in (
        layer.kernel(),
        layer.to_conv().weight,
        layer.to_conv(trim=True).weight,
        merged(torch.nn.Sequential(layer))[0].weight,
    ):
        assert not subnormal(kernel)
