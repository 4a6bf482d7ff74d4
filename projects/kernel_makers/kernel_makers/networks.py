"""Networks from a place to the values that all kernels have there, with their published starts.

Both take places (n, axes), from -1 to 1 along every axis, and return values (n, outputs).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class Siren(nn.Module):
    """Two hidden layers of sines, the generator of CKConv (arXiv 2102.02611, arXiv 2006.09661).

    Each is sin(omega_0 (W x + b)); all layers are weight-normalised. Weights start uniform: of the
    first layer within 1, of the others within sqrt(6 / hidden) / omega_0, by which what goes into
    every sine has unit variance and what comes out of the last layer 1 / omega_0^2. Biases of sines
    start within 1, which makes phases of any kind. The last bias starts at 0, as the authors'
    later code allows: drawn as the others it would make all kernels next to constant.

    omega_0: the highest frequency at the start is omega_0 radians in half of the kernel.
    """

    def __init__(self, axes: int, outputs: int, hidden: int, omega_0: float) -> None:
        super().__init__()
        self.omega_0 = omega_0
        layers = [nn.Linear(axes, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)]
        bounds = (1.0, *[math.sqrt(6 / hidden) / omega_0] * 2)
        for layer, bound in zip(layers, bounds, strict=True):
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.uniform_(layer.bias, -1, 1)
        nn.init.zeros_(layers[-1].bias)
        self.layers = nn.ModuleList(map(weight_norm, layers))

    def forward(self, places: Tensor) -> Tensor:
        *sines, last = self.layers
        for layer in sines:
            places = torch.sin(self.omega_0 * layer(places))
        return last(places)

    @staticmethod
    def parameter_count(axes: int, outputs: int, hidden: int) -> int:
        """With the norm of each row, which weight normalisation adds."""
        return (axes + 2) * hidden + (hidden + 2) * hidden + (hidden + 2) * outputs


class GaborFilter(nn.Module):
    """A sine in a Gaussian window of its own, for each of `hidden` units.

    exp(-sum_a (gamma_a (x_a - mu_a))^2 / 2) sin(W x + b)

    depth: of the filter in its network, from 0; windows of deeper ones start wider.
    reach: means mu start within it.
    """

    def __init__(self, axes: int, hidden: int, omega: float, depth: int, reach: float) -> None:
        super().__init__()
        widths = torch.distributions.Gamma(6 / (depth + 1), 1.0).sample((hidden, axes))
        bound = omega / math.sqrt(axes)
        self.gamma = nn.Parameter(widths)
        self.mu = nn.Parameter(torch.empty(hidden, axes).uniform_(-reach, reach))
        # A narrow window holds a fast sine.
        self.weight = nn.Parameter(torch.empty(hidden, axes).uniform_(-bound, bound) * widths)
        self.bias = nn.Parameter(torch.empty(hidden).uniform_(-math.pi, math.pi))

    def forward(self, places: Tensor) -> Tensor:
        distances = self.gamma * (places[:, None] - self.mu)
        window = torch.exp(-0.5 * distances.square().sum(-1))
        return window * torch.sin(places @ self.weight.T + self.bias)


class Magnet(nn.Module):
    """The multiplicative filter network of FlexConv (arXiv 2110.08059), of Gabor filters.

    z_0 = filter_0(x), z_l = filter_l(x) (W_l z_{l-1} + b_l), and a last linear layer.

    omega_0: as published, of all four filters together; each starts with its share.
    reach: of the mask, outside which no filter need stand at the start.
    """

    FILTERS = 4

    def __init__(
        self, axes: int, outputs: int, hidden: int, omega_0: float, reach: float = 1.0
    ) -> None:
        super().__init__()
        omega = omega_0 / math.sqrt(self.FILTERS)
        self.filters = nn.ModuleList(
            GaborFilter(axes, hidden, omega, depth, reach) for depth in range(self.FILTERS)
        )
        widths = [hidden] * (self.FILTERS - 1) + [outputs]
        self.layers = nn.ModuleList(nn.Linear(hidden, width) for width in widths)
        bound = math.sqrt(1 / hidden)
        for layer in self.layers:
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)

    def forward(self, places: Tensor) -> Tensor:
        first, *others = self.filters
        *layers, last = self.layers
        values = first(places)
        for layer, window in zip(layers, others, strict=True):
            values = window(places) * layer(values)
        return last(values)

    @classmethod
    def parameter_count(cls, axes: int, outputs: int, hidden: int) -> int:
        filters = cls.FILTERS * (3 * axes + 1) * hidden
        return filters + (cls.FILTERS - 1) * (hidden + 1) * hidden + (hidden + 1) * outputs
