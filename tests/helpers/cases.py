"""What the tests of the torch-only room share: layers by number of axes, and random elements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmdcls.dcls import INTERPOLATIONS, Dcls1d, Dcls2d, Dcls3d, DclsNd, position_limits
from mmdcls.dcls.conv.tiles import TILE

LAYERS = {1: Dcls1d, 2: Dcls2d, 3: Dcls3d}
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
# Odd, even, non-square, and axes of a single cell.
SIZES = [(7,), (4,), (1,), (5, 5), (5, 3), (4, 7), (1, 6), (3, 3, 3), (2, 5, 3), (3, 1, 4)]
# Sizes for three axes; fewer axes take the first ones.
GEOMETRIES = {
    "odd": dict(kernel_size=5, padding=2),
    "even": dict(kernel_size=4, padding=1),
    "non-square": dict(kernel_size=(3, 6, 1), padding=(1, 3, 0)),
    "no padding": dict(kernel_size=(4, 3, 2), padding=0),
    "stride": dict(kernel_size=5, stride=2, padding=2),
    "stride per axis": dict(kernel_size=(4, 5, 3), stride=(1, 3, 2), padding=(2, 0, 1)),
    "same, odd": dict(kernel_size=5, padding="same"),
    "same, even and odd": dict(kernel_size=(4, 3, 2), padding="same"),
    "valid": dict(kernel_size=(3, 4, 5), padding="valid"),
    "a single cell": dict(kernel_size=1, padding=0),
}

# Of depthwise convolutions, with tiles as those of the gradient by tiles: map, kernel, padding.
DEPTHWISE_SIZES = {
    "smaller than a tile": ((9, 7), (5, 3), (2, 1)),
    "as large as a tile": ((TILE, TILE), (3, 3), (1, 1)),
    "one cell more than a tile": ((TILE + 1, TILE + 1), (3, 5), (1, 2)),
    "several tiles and a rest": ((2 * TILE + 3, 3 * TILE - 1), (7, 5), (3, 2)),
    "even kernel": ((11, 12), (4, 6), (2, 3)),
    "no padding": ((11, 20), (4, 3), (0, 0)),
    "padding along one axis": ((20, 11), (5, 4), (4, 0)),
    "kernel larger than the map": ((6, 5), (13, 17), (6, 8)),
    "kernel as large as the map": ((6, 5), (6, 5), (0, 0)),
    "padding larger than the kernel": ((5, 4), (2, 3), (4, 5)),
    "single row": ((1, 2 * TILE + 1), (1, 7), (0, 3)),
    "single cell": ((1, 1), (1, 1), (0, 0)),
}


class Elements(NamedTuple):
    weight: Tensor
    positions: Tensor
    sigma: Tensor | None


def off_the_grid(shape: tuple[int, ...], low: int, high: int) -> Tensor:
    """Inside and at least a tenth of a cell away from the grid, where there is room."""
    if low == high:
        return torch.full(shape, float(low), dtype=torch.double)
    cells = torch.randint(low, high, shape)
    return cells + torch.empty(shape, dtype=torch.double).uniform_(0.1, 0.9)


def on_the_grid(shape: tuple[int, ...], low: int, high: int) -> Tensor:
    return torch.randint(low, high + 1, shape).double()


def outside(shape: tuple[int, ...], low: int, high: int) -> Tensor:
    beyond = torch.empty(shape, dtype=torch.double).uniform_(0.01, 9)
    return torch.where(torch.rand(shape) < 0.5, low - beyond, high + beyond)


PLACES: dict[str, Callable] = {
    "off the grid": off_the_grid,
    "on the grid": on_the_grid,
    "outside": outside,
}


def draw_elements(
    size: tuple[int, ...],
    interpolation: str,
    place: str = "off the grid",
    shape: tuple[int, int, int] = (2, 1, 3),
    device: torch.device | None = None,
) -> Elements:
    """Random float64 leaves; shape is (out, in/groups, kernel_count)."""
    rows = [PLACES[place](shape, *position_limits(cells)) for cells in size]
    sigma = None
    if INTERPOLATIONS[interpolation].has_sigma:
        sigma = leaf(len(size), *shape, device=device)
    weight = leaf(*shape, device=device)
    return Elements(weight, torch.stack(rows).to(device).requires_grad_(), sigma)


def leaf(*shape: int, device: torch.device | None = None) -> Tensor:
    return torch.randn(*shape, dtype=torch.double, device=device).requires_grad_()


def autocast(dtype: torch.dtype | None = None, enabled: bool = True) -> torch.autocast:
    """Of the device that tests make their tensors on: `pytest --device`."""
    return torch.autocast(torch.get_default_device().type, dtype, enabled=enabled)


def gradients(output: Tensor, sources: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of a fixed random projection of the output."""
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(output.shape, generator=generator, dtype=torch.double, device="cpu")
    grads = torch.autograd.grad(output, list(sources.values()), direction.to(output))
    return dict(zip(sources, grads, strict=True))


def assert_same_values_and_gradients(
    ours: Tensor, theirs: Tensor, sources: dict[str, Tensor], **tolerance: float
) -> None:
    torch.testing.assert_close(ours, theirs, **tolerance)
    torch.testing.assert_close(gradients(ours, sources), gradients(theirs, sources), **tolerance)


def geometry(name: str, axes: int) -> dict:
    return {
        key: value[:axes] if isinstance(value, tuple) else value
        for key, value in GEOMETRIES[name].items()
    }


def draw_layer(axes: int = 2, place: str = "off the grid", **kwargs) -> DclsNd:
    """A layer in float64 whose elements are spread over the whole kernel."""
    arguments = dict(in_channels=4, out_channels=4, kernel_size=5, kernel_count=3)
    layer = LAYERS[axes](**{**arguments, **kwargs}).double()
    if layer.positions is not None:
        spread = draw_elements(layer.extents, layer.interpolation, place, layer.weight.shape)
        layer.positions.data.copy_(spread.positions.data)
        if layer.sigma is not None:
            layer.sigma.data.copy_(spread.sigma.data)
    return layer


def draw_input(axes: int = 2, channels: int = 4, batch: int = 2, least: int = 7) -> Tensor:
    """A float64 leaf with another odd or even size along every axis."""
    sizes = range(least, least + axes)
    return torch.randn(batch, channels, *sizes, dtype=torch.double).requires_grad_()


@contextmanager
def poisoned() -> Iterator[None]:
    """Fresh memory is full of NaN, so that what is not written shows."""
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(2).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)


class LargestTensor(TorchDispatchMode):
    """Records the number of elements in the largest storage that any operator hands out."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                numel = leaf.untyped_storage().nbytes() // leaf.element_size()
                self.numel = max(self.numel, numel)
        return result
