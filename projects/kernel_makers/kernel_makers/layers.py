"""A depthwise convolution whose kernel is drawn by a network, and the two of the papers."""

import math

import torch
from torch import Tensor, nn

from mmdcls.dcls.conv import convolve
from mmdcls.dcls.kernel_formula import without_autocast
from mmdcls.dcls.trimming import trimmed

from .masks import GaussianMask
from .networks import Magnet, Siren

DENSE_CELLS = 7 * 7  # of the kernel whose parameters a generator has
# The norm that the kernel of a new `nn.Conv2d` has on average, of any size.
NORM = math.sqrt(1 / 3)


class GeneratedConv2d(nn.Module):
    """Depthwise convolution that keeps its maps' size, of a kernel that a network draws.

    network: from places (n, 2) to values (n, channels).
    kernel_size: odd; its cells stand evenly from -1 to 1 along both axes.
    mask: multiplies the kernel; rows and columns below its threshold are left out.

    What the network draws is multiplied by `scale` (channels,), which stays as it starts: so that
    every channel's kernel has the norm that a plain convolution's has.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        network: nn.Module,
        mask: GaussianMask | None = None,
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd, and at least 1")
        self.in_channels = self.out_channels = self.groups = channels
        self.kernel_size = kernel_size
        self.network, self.mask = network, mask
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-1, 1) / math.sqrt(DENSE_CELLS))
        self.register_buffer("scale", torch.ones(channels))
        with torch.no_grad():
            self.scale.copy_(NORM / self.kernel().flatten(1).norm(dim=1))

    def grid(self, kernel_size: int) -> Tensor:
        """Places of the cells, (kernel_size, kernel_size, 2), row before column."""
        axis = torch.linspace(-1, 1, kernel_size, dtype=self.scale.dtype, device=self.scale.device)
        return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)

    def kernel(self, kernel_size: int | None = None) -> Tensor:
        """The dense kernel (channels, 1, height, width), cropped to the mask where there is one.

        kernel_size: draws the same functions with another number of cells.
        """
        # As DCLS makes its kernels: autocast is for what they are convolved with.
        with without_autocast(self.scale.device.type):
            return self._drawn(self.grid(kernel_size or self.kernel_size))

    def _drawn(self, places: Tensor) -> Tensor:
        if self.mask is not None:
            rows, columns = self.mask.margins(places)
            height, width = places.shape[:2]
            places = places[rows : height - rows, columns : width - columns]
        values = self.network(places.flatten(0, 1)) * self.scale
        kernel = values.T.unflatten(1, places.shape[:2]).unsqueeze(1)
        return kernel if self.mask is None else kernel * self.mask(places)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel()
        sides = tuple((size // 2, size // 2) for size in kernel.shape[2:])
        return convolve(x, kernel, self.bias, (1, 1), sides, "constant", self.groups)

    @torch.no_grad()
    def to_conv(self, trim: bool = False) -> nn.Conv2d:
        """The plain convolution that computes the same; trim: without borders of zeros."""
        kernel, padding = self.kernel(), "same"
        if trim:
            kernel, padding = trimmed(kernel, padding, (1, 1))
        conv = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            kernel.shape[2:],
            padding=padding,
            groups=self.groups,
            device=kernel.device,
            dtype=kernel.dtype,
        )
        conv.weight.copy_(kernel)
        conv.bias.copy_(self.bias)
        return conv.train(self.training)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, kernel_size={self.kernel_size}"


def neutral_hidden(network: type[Siren] | type[Magnet], channels: int) -> int:
    """The hidden width with which a generator comes closest to the parameters of a dense 7x7."""

    def miss(hidden: int) -> int:
        return abs(network.parameter_count(2, channels, hidden) - DENSE_CELLS * channels)

    return min(range(1, DENSE_CELLS + 1), key=miss)


def ckconv(channels: int, *, kernel_size: int = 17, omega_0: float = 10.0) -> GeneratedConv2d:
    """CKConv (arXiv 2102.02611): sines over the whole kernel."""
    hidden = neutral_hidden(Siren, channels)
    return GeneratedConv2d(channels, kernel_size, Siren(2, channels, hidden, omega_0))


def flexconv(
    channels: int, *, kernel_size: int = 17, omega_0: float = 12.8, sigma: float = 0.15
) -> GeneratedConv2d:
    """FlexConv (arXiv 2110.08059): Gabor filters in a Gaussian mask that learns.

    Published are a sigma of 0.075 and an omega_0 of 25.6 in a kernel of 33 cells. In 17 cells twice
    that sigma and half of that omega_0 are the same, counted in cells: a start of 5x5.
    """
    hidden = neutral_hidden(Magnet, channels)
    network = Magnet(2, channels, hidden, omega_0, min(1.0, sigma / 0.6))
    return GeneratedConv2d(channels, kernel_size, network, GaussianMask(2, sigma))
