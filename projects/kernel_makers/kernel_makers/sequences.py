"""The CKCNN of the paper for sequences: dense causal convolutions as long as their input."""

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from .networks import Siren


class CausalCkconv(nn.Module):
    """A convolution (N, in, T) -> (N, out, T) whose kernel reaches back to the beginning.

    Its network draws all (out, in) kernels, and is asked at lags 0 to T - 1, which stand evenly
    from -1 to 1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden: int = 32, omega_0: float = 30.0
    ) -> None:
        super().__init__()
        self.shape = (out_channels, in_channels)
        self.network = Siren(1, out_channels * in_channels, hidden, omega_0)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def kernel(self, length: int) -> Tensor:
        """(out, in, length), of the lags in their order."""
        lags = torch.linspace(-1, 1, length, dtype=self.bias.dtype, device=self.bias.device)
        return self.network(lags[:, None]).T.unflatten(0, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[-1]
        # Twice as long, so that what is periodic does not come round.
        spectra = [torch.fft.rfft(part, 2 * length) for part in (x, self.kernel(length))]
        product = torch.einsum("nif,oif->nof", *spectra)
        return torch.fft.irfft(product, 2 * length)[..., :length] + self.bias[:, None]


class ResidualBlock(nn.Module):
    """Twice: convolution, LayerNorm over channels and steps, ReLU, dropout; then the input is
    added."""

    def __init__(self, in_channels: int, width: int, dropout: float, omega_0: float) -> None:
        super().__init__()
        layers = []
        for channels in (in_channels, width):
            layers += [CausalCkconv(channels, width, omega_0=omega_0), nn.GroupNorm(1, width)]
            layers += [nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        same = in_channels == width
        self.shortcut = nn.Identity() if same else nn.Conv1d(in_channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layers(x) + self.shortcut(x))


@MODELS.register_module()
class Ckcnn(BaseModule):
    """CKCNN (arXiv 2102.02611): images as sequences, pixel by pixel, to their last step.

    (N, 1, H, W) -> ((N, width),)
    """

    def __init__(
        self,
        width: int = 30,
        depth: int = 2,
        dropout: float = 0.1,
        omega_0: float = 31.1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        blocks = [
            ResidualBlock(1 if index == 0 else width, width, dropout, omega_0)
            for index in range(depth)
        ]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.blocks(x.flatten(2))[..., -1],)
