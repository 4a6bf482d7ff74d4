"""The module that owns positions: a layer, or a stage whose layers share them."""

import torch
from torch import Tensor, nn

from .cache import ParameterCache, may_cache
from .interpolation import get_interpolation
from .kernel import element_shares
from .positions import clamp_positions_
from .spreads import check_initial_spread, spread_positions_
from .wrappers import unwrapped, without_wrappers

# What of elements lies in their place and not in their weight, by its name in the state.
PLACES = ("positions", "sigma")
# How much of each element every cell receives: (out, in/groups, kernel_count, kernel_size[a]) for
# every axis a.
Shares = tuple[Tensor, ...]


class ElementPositions(nn.Module):
    """Owns `positions` and, where the interpolation has a width, `sigma`.

    A DCLS layer is one; so is a stage whose layers share their positions. Code that treats
    positions (clamping, optimiser rules, statistics) looks for modules of this class.

    positions  (axes, out, in/groups, kernel_count), or None where another module owns them. Row a
               is kernel axis a; an axis of one cell, on which nothing can move, has no row
    sigma      the same shape, or None
    on_cells   set it to have kernels as if every element stood on the nearest cell and had no
               width: each in one cell. Positions and sigma stay what they are. Not in the state.
    """

    positions: nn.Parameter | None
    sigma: nn.Parameter | None

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        interpolation: str,
        element_shape: tuple[int, int, int] | None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        initial_spread: str = "normal",
    ) -> None:
        super().__init__()
        rule = get_interpolation(interpolation)
        check_initial_spread(initial_spread)
        self.kernel_size = kernel_size
        self.interpolation = interpolation
        self.initial_spread = initial_spread
        shape = None if element_shape is None else (len(self.extents), *element_shape)
        for name, present in (("positions", True), ("sigma", rule.has_sigma)):
            tensor = torch.empty(shape, device=device, dtype=dtype) if shape and present else None
            self.register_parameter(name, None if tensor is None else nn.Parameter(tensor))
        self.on_cells = False
        self._shares = ParameterCache()
        self.reset_positions()

    @property
    def extents(self) -> tuple[int, ...]:
        """The kernel's size along the axes that have a row of positions.

        Those of more than one cell; of a kernel of one cell, all.
        """
        return tuple(size for size in self.kernel_size if size > 1) or self.kernel_size

    def reset_positions(self) -> None:
        """Draw positions anew and set sigma to its initial value."""
        if self.positions is not None:
            spread_positions_(self.positions, self.extents, self.initial_spread)
        if self.sigma is not None:
            nn.init.constant_(self.sigma, get_interpolation(self.interpolation).initial_sigma)

    def clamp_positions_(self) -> None:
        """Put elements that left the kernel back on its border."""
        if self.positions is not None:
            clamp_positions_(self.positions, self.extents)

    def shares(self) -> Shares:
        """What layers need of the positions; in eval without gradients, built once."""
        if self.positions is None:
            raise RuntimeError(
                f"{type(self).__name__} has shared positions: pass the shares of the module that "
                f"owns them, owner.shares()"
            )
        sources = (self.positions,) if self.sigma is None else (self.positions, self.sigma)

        def build() -> Shares:
            if self.on_cells:
                # Where elements stand on cells, this split gives each one cell, whole.
                shares = element_shares(self.positions.round(), None, self.extents, "bilinear")
            else:
                shares = element_shares(
                    self.positions, self.sigma, self.extents, self.interpolation
                )
            return with_single_cells(shares, self.kernel_size)

        if self.training or not may_cache(sources):
            return build()
        context = (self.kernel_size, self.interpolation, self.on_cells)
        return self._shares.get(sources, context, build)


def with_single_cells(shares: Shares, kernel_size: tuple[int, ...]) -> Shares:
    """Shares of all axes from those of the axes that elements move along.

    A cell that is alone on its axis receives all of every element.
    """
    if len(shares) == len(kernel_size):
        return shares
    moving = iter(shares)
    whole = torch.ones_like(shares[0][..., :1])
    return tuple(next(moving) if size > 1 else whole for size in kernel_size)


def position_owners(model: nn.Module) -> dict[str, ElementPositions]:
    """Every module that owns positions, by name; positions that layers share count once.

    The names are those of the model inside DistributedDataParallel and torch.compile.
    """
    return {
        without_wrappers(name): module
        for name, module in unwrapped(model).named_modules()
        if isinstance(module, ElementPositions) and module.positions is not None
    }
