"""What a training loop does to the positions of all layers of a model."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .elements import position_owners
from .positions import repulsion


def clamp_model_(model: nn.Module) -> None:
    """Put elements that left their kernel back on its border: after each step of the optimiser."""
    for owner in position_owners(model).values():
        owner.clamp_positions_()


def repulsion_loss(model: nn.Module) -> Tensor:
    """A term of the loss that keeps elements from crowding (arXiv 2112.03740).

    The square of the mean of `repulsion` over all modules that own positions: a differentiable
    scalar in float32 at least; its weight was 1 as published. Raises ValueError where there are
    none.
    """
    owners = position_owners(model)
    if not owners:
        raise ValueError(
            f"repulsion_loss needs a model with DCLS positions, and {type(model).__name__} has none"
        )
    # Distances are made again in the backward pass: kept for all owners, they take more memory
    # than the positions by a factor of kernel_count.
    terms = [
        checkpoint(repulsion, owner.positions, use_reentrant=False, preserve_rng_state=False)
        for owner in owners.values()
    ]
    return torch.stack(terms).mean() ** 2


@contextmanager
def rounded(model: nn.Module) -> Iterator[None]:
    """Within it, the model computes as if every element stood on the nearest cell and had no width.

    That is how learned delays are deployed (arXiv 2306.17670). Positions and sigma are not touched.
    """
    before = {owner: owner.on_cells for owner in position_owners(model).values()}
    set_on_cells(model, True)
    try:
        yield
    finally:
        for owner, on_cells in before.items():
            owner.on_cells = on_cells


def set_on_cells(model: nn.Module, on_cells: bool) -> None:
    """Set `on_cells` of every module that owns positions."""
    for owner in position_owners(model).values():
        owner.on_cells = on_cells
