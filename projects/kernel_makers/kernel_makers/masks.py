"""The learned Gaussian in which FlexConv's kernels live."""

import torch
from torch import Tensor, nn


class GaussianMask(nn.Module):
    """exp(-sum_a ((x_a - mean_a) / sigma_a)^2 / 2), one for all channels of a layer.

    threshold: cells where the mask is below it may be left out (arXiv 2110.08059).
    """

    def __init__(self, axes: int, sigma: float, threshold: float = 0.1) -> None:
        super().__init__()
        self.threshold = threshold
        self.mean = nn.Parameter(torch.zeros(axes))
        self.sigma = nn.Parameter(torch.full((axes,), float(sigma)))

    def forward(self, places: Tensor) -> Tensor:
        """places (..., axes) -> mask (...)"""
        return torch.exp(-0.5 * ((places - self.mean) / self.sigma).square().sum(-1))

    @torch.no_grad()
    def margins(self, places: Tensor) -> tuple[int, int]:
        """How many rows, and how many columns, may go from either end of a grid (H, W, 2).

        As many from one end as from the other, so that the middle stays the middle, as long as no
        cell that goes reaches the threshold; the middle itself always stays.
        """
        inside = self(places) >= self.threshold
        margins = []
        for axis in (0, 1):
            held = inside.any(1 - axis)
            held = (held | held.flip(0)).tolist()
            half = (len(held) - 1) // 2
            margins.append(held.index(True) if any(held[: half + 1]) else half)
        return margins[0], margins[1]
