"""The published ConvNeXt-dcls, put together from PyPI's `dcls` layers and plain torch."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from helpers.provocations import load_tool
from helpers.published import VERSIONS

peers = load_tool("analysis_tools/benchmark_peers")
SMALL = dict(
    arch=dict(depths=(2, 1, 3, 1), channels=(8, 12, 16, 20)), kernel_size=7, kernel_count=5
)


class FirstNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class PublishedResponseNorm(nn.Module):
    """ConvNeXt V2's, of (N, H, W, C), with its shapes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        size = x.square().sum((1, 2), keepdim=True).sqrt()
        return self.gamma * x * size / (size.mean(3, keepdim=True) + 1e-6) + self.beta + x


class PublishedBlock(nn.Module):
    """With global response normalisation, V2's, it has no layer scale."""

    def __init__(self, dwconv: nn.Module, channels: int, use_grn: bool = False) -> None:
        super().__init__()
        self.dwconv = dwconv
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        if use_grn:
            self.grn, self.gamma = PublishedResponseNorm(4 * channels), None
        else:
            self.grn, self.gamma = None, nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = F.gelu(self.pwconv1(y))
        y = self.pwconv2(y if self.grn is None else self.grn(y))
        y = y if self.gamma is None else self.gamma * y
        return x + y.permute(0, 3, 1, 2)


class PublishedConvNeXt(nn.Module):
    """version: of the published layers; None for the dense 7x7 of the original ConvNeXt."""

    def __init__(
        self,
        depths: Sequence[int],
        channels: Sequence[int],
        kernel_size: int,
        kernel_count: int,
        version: str | None,
        shared: bool = True,
        dense_norms: bool = False,
        use_grn: bool = False,
    ) -> None:
        super().__init__()
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        previous = 3
        for index, (depth, width) in enumerate(zip(depths, channels, strict=True)):
            if index == 0:
                layers = [nn.Conv2d(3, width, 4, 4), FirstNorm(width, eps=1e-6)]
            else:
                layers = [FirstNorm(previous, eps=1e-6), nn.Conv2d(previous, width, 2, 2)]
            self.downsample_layers.append(nn.Sequential(*layers))
            convs = [
                peers.published_layer(width, version, kernel_size, kernel_count)
                if version
                else peers.plain(width)
                for _ in range(depth)
            ]
            if shared:
                peers.share_positions(convs)
            blocks = [PublishedBlock(conv, width, use_grn) for conv in convs]
            self.stages.append(nn.Sequential(*blocks))
            if dense_norms:
                self.add_module(f"norm{index}", FirstNorm(width, eps=1e-6))
            previous = width
        if not dense_norms:
            self.norm = nn.LayerNorm(previous, eps=1e-6)
            self.head = nn.Linear(previous, 10)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for index, (downsample, stage) in enumerate(
            zip(self.downsample_layers, self.stages, strict=True)
        ):
            x = stage(downsample(x))
            # A new output norm, which the classifier lacks, changes no scale and no offset.
            norm = getattr(self, f"norm{index}", FirstNorm(x.shape[1], eps=1e-6))
            maps.append(norm(x))
        return maps


@torch.no_grad()
def randomised(model: nn.Module, reach: float) -> nn.Module:
    """Values of ordinary size everywhere, positions up to `reach` from the centre."""
    for name, parameter in model.named_parameters():
        last = name.rpartition(".")[2]
        if last == "P":
            parameter.uniform_(-reach, reach)
        elif last == "SIG":
            parameter.uniform_(-0.8, 0.8)
        elif last in ("gamma", "beta"):
            parameter.uniform_(0.1, 1.0)
        elif parameter.dim() == 1:
            parameter.add_(0.1 * torch.randn_like(parameter))
        else:
            parameter.copy_(torch.randn_like(parameter) / parameter[0].numel() ** 0.5)
    return model.eval()


def published(
    interpolation: str, shared: bool = True, dense_norms: bool = False, **options
) -> PublishedConvNeXt:
    options = SMALL | options
    model = PublishedConvNeXt(
        **options["arch"],
        kernel_size=options["kernel_size"],
        kernel_count=options["kernel_count"],
        version=VERSIONS[interpolation],
        shared=shared,
        dense_norms=dense_norms,
    )
    return randomised(model, options["kernel_size"] // 2)


def dense(use_grn: bool = False) -> PublishedConvNeXt:
    """The original ConvNeXt; with use_grn its V2."""
    arch = SMALL["arch"]
    options = dict(kernel_size=7, kernel_count=0, version=None, use_grn=use_grn)
    return randomised(PublishedConvNeXt(**arch, **options), 0)


def saved(content: object, folder: Path, name: str = "given.pth") -> str:
    torch.save(content, folder / name)
    return str(folder / name)


def ours(checkpoint: str | None = None, init: dict | None = None, **options) -> nn.Module:
    """Our backbone, filled through its init_cfg."""
    if checkpoint:
        options["init_cfg"] = dict(type="mmdcls.Pretrained", checkpoint=checkpoint, **(init or {}))
    backbone = MODELS.build({"type": "mmdcls.DclsConvNeXt", **SMALL, **options})
    backbone.init_weights()
    return backbone.eval()


@torch.no_grad()
def assert_same_maps(backbone: nn.Module, theirs: nn.Module, size: int = 64) -> None:
    """Feature maps, of about unit size, of all stages agree to 1e-5."""
    image = torch.randn(1, 3, size, size)
    torch.testing.assert_close(list(backbone(image)), theirs(image), rtol=1e-5, atol=1e-5)
