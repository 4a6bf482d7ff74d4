"""The module that owns positions: a layer, or a stage whose layers share them."""

import torch
from torch import Tensor, nn

from .cache import ParameterCache, may_cache
from .interpolation import get_interpolation
from .kernel import element_shares
from .positions import clamp_positions_
from .spreads import check_initial_spread, spread_positions_

# How much of each element every cell receives: (out, in/groups, kernel_count, kernel_size[a]) for
# every axis a.
Shares = tuple[Tensor, ...]


class ElementPositions(nn.Module):
    """Owns `positions` and, where the interpolation has a width, `sigma`.

    A DCLS layer is one; so is a stage whose layers share their positions. Code that treats
    positions (clamping, optimiser rules, statistics) looks for modules of this class.

    positions  (axes, out, in/groups, kernel_count), or None where another module owns them
    sigma      the same shape, or None
    on_cells   set it to have kernels as if every element stood on the nearest cell and had no
               width: each in one cell. Positions and sigma stay what they are. Not in the state.
    """

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
        shape = None if element_shape is None else (len(kernel_size), *element_shape)
        for name, present in (("positions", True), ("sigma", rule.has_sigma)):
            tensor = torch.empty(shape, device=device, dtype=dtype) if shape and present else None
            self.register_parameter(name, None if tensor is None else nn.Parameter(tensor))
        self.on_cells = False
        self._shares = ParameterCache()
        self.reset_positions()

    def reset_positions(self) -> None:
        """Draw positions anew and set sigma to its initial value."""
        if self.positions is not None:
            spread_positions_(self.positions, self.kernel_size, self.initial_spread)
        if self.sigma is not None:
            nn.init.constant_(self.sigma, get_interpolation(self.interpolation).initial_sigma)

    def clamp_positions_(self) -> None:
        """Put elements that left the kernel back on its border."""
        if self.positions is not None:
            clamp_positions_(self.positions, self.kernel_size)

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
                whole = self.positions.round()
                return element_shares(whole, None, self.kernel_size, "bilinear")
            return element_shares(self.positions, self.sigma, self.kernel_size, self.interpolation)

        if self.training or not may_cache(sources):
            return build()
        context = (self.kernel_size, self.interpolation, self.on_cells)
        return self._shares.get(sources, context, build)


def position_owners(model: nn.Module) -> dict[str, ElementPositions]:
    """Every module that owns positions, by name; positions that layers share count once."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, ElementPositions) and module.positions is not None
    }
