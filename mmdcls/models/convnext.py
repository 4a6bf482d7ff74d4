"""ConvNeXt (arXiv 2201.03545) whose depthwise convolutions are DCLS (arXiv 2112.03740)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmdcls.checkpoint.load import refuse_foreign
from mmdcls.dcls import Dcls2d, ElementPositions, Shares
from mmdcls.dcls.arguments import LARGEST, check_flag, check_number, check_whole, is_whole, per_axis
from mmdcls.registry import MODELS

from .arguments import check_init_cfg, checked_indices, sizes_of


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W); the output is channels_last."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResponseNorm(nn.Module):
    """Global response normalisation of ConvNeXt V2 (arXiv 2301.00808), of (N, H, W, C).

    Each channel's Euclidean norm over its map, divided by the mean of all channels' norms, scales
    the channel. With gamma and beta at zero, where they start, it changes nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        response = norms / (norms.mean(-1, keepdim=True) + 1e-6)
        return x + self.gamma * (x * response) + self.beta


class Block(nn.Module):
    """Depthwise DCLS, LayerNorm, two linear layers with GELU between, layer scale, drop path.

    use_grn: global response normalisation after GELU.
    """

    def __init__(
        self,
        dwconv: Dcls2d,
        drop_path_rate: float,
        layer_scale_init_value: float,
        use_grn: bool = False,
    ) -> None:
        super().__init__()
        channels = dwconv.in_channels
        self.dwconv = dwconv
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = ResponseNorm(4 * channels) if use_grn else nn.Identity()
        self.pwconv2 = nn.Linear(4 * channels, channels)
        gamma = torch.full((channels,), float(layer_scale_init_value))
        self.register_parameter("gamma", nn.Parameter(gamma) if layer_scale_init_value else None)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

    def forward(self, x: Tensor, shares: Shares | None) -> Tensor:
        # Merged, dwconv is a plain convolution, which takes no shares.
        y = self.dwconv(x) if shares is None else self.dwconv(x, shares)
        # In channels_last both permutations are views.
        y = y.permute(0, 2, 3, 1)
        y = self.pwconv2(self.grn(F.gelu(self.pwconv1(self.norm(y)))))
        y = y if self.gamma is None else y * self.gamma
        return x + self.drop_path(y.permute(0, 3, 1, 2))


class Stage(ElementPositions):
    """Blocks named "0", "1", ...; owns `positions` and `sigma` where its blocks share them."""

    def __init__(
        self, blocks: Sequence[Block], share_positions: bool, with_cp: bool = False
    ) -> None:
        conv = blocks[0].dwconv
        shape = tuple(conv.weight.shape)
        super().__init__(
            conv.kernel_size,
            conv.interpolation,
            shape if share_positions else None,
            initial_spread=conv.initial_spread,
        )
        self.depth = len(blocks)
        self.with_cp = with_cp
        for index, block in enumerate(blocks):
            self.add_module(str(index), block)

    def __getitem__(self, index: int) -> Block:
        return self._modules[str(range(self.depth)[index])]

    def __len__(self) -> int:
        return self.depth

    def forward(self, x: Tensor) -> Tensor:
        shares = None if self.positions is None else self.shares()
        for index in range(self.depth):
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(self[index], x, shares, use_reentrant=False)
            else:
                x = self[index](x, shares)
        return x


@MODELS.register_module()
class DclsConvNeXt(BaseModule):
    """ConvNeXt backbone with DCLS depthwise convolutions, for segmentors and detectors alike.

    arch: a name of ConvNeXt, or dict(depths=..., channels=...) with four numbers each.
    kernel_size: extent in which elements move, one number or (height, width).
    kernel_count: elements per kernel. With 17x17, 34 elements cost the parameters of a dense 7x7.
    interpolation: a row of `mmdcls.dcls.INTERPOLATIONS`.
    share_positions: the blocks of a stage share positions (and sigma), which then belong to the
        stage, `stages.N.positions`; otherwise every block has its own.
    drop_path_rate: rate of the last block; it grows linearly from 0 at the first.
    layer_scale_init_value: 0 or None leaves layer scale out.
    out_indices: stages whose maps are returned, each through a LayerNorm `normN` of its own.
        Stages after the last of them are not built.
    gap_before_final_norm: for classifiers, as published: the mean over each map is normalised, in
        place of the map, and vectors (N, channels) are returned.
    frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages.
    with_cp: recompute activations in the backward pass, to save memory.
    initial_spread: where elements start, a row of `mmdcls.dcls.INITIAL_SPREADS`.
    use_grn: global response normalisation, as in ConvNeXt V2, which has no layer scale.
    depths, channels: in place of those of `arch`; a child config can give them over a named arch,
        where mmengine refuses a dict in place of a name.

    Returns a tuple of maps at strides 4, 8, 16, 32, contiguous in NCHW whatever runs inside:
    mmcv's roi_align on CPU reads other formats wrongly.
    """

    def __init__(
        self,
        arch: str | dict = "tiny",
        in_channels: int = 3,
        kernel_size: int | tuple[int, int] = 17,
        kernel_count: int = 34,
        interpolation: str = "bilinear",
        share_positions: bool = True,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = 1e-6,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        gap_before_final_norm: bool = False,
        frozen_stages: int = -1,
        with_cp: bool = False,
        initial_spread: str = "normal",
        use_grn: bool = False,
        init_cfg: dict | list[dict] | None = None,
        depths: Sequence[int] | None = None,
        channels: Sequence[int] | None = None,
    ) -> None:
        check_init_cfg(init_cfg)
        super().__init__(init_cfg)
        depths, channels = sizes_of(arch, depths, channels)
        check_whole("in_channels", in_channels, least=1, most=LARGEST)
        below_one = "at least 0 and below 1"
        check_number("drop_path_rate", drop_path_rate, below_one, lambda rate: 0 <= rate < 1)
        # mmpretrain's configs write None where there is no layer scale.
        scale = 0.0 if layer_scale_init_value is None else layer_scale_init_value
        check_number("layer_scale_init_value", scale, "at least 0", lambda value: value >= 0)
        check_flag("use_grn", use_grn)
        check_flag("share_positions", share_positions)
        check_flag("with_cp", with_cp)
        self.out_indices = checked_indices(out_indices)
        self.gap_before_final_norm = gap_before_final_norm
        built = max(self.out_indices) + 1
        if not is_whole(frozen_stages) or not -1 <= frozen_stages <= built:
            raise ValueError(
                f"frozen_stages={frozen_stages!r} must be -1 (none), 0 (the stem) or up to "
                f"{built}, the number of stages that out_indices={self.out_indices} needs"
            )
        self.frozen_stages = frozen_stages
        self.depths, self.channels = depths[:built], channels[:built]
        # ConvNeXt counts the blocks of the third stage in groups of three.
        self.num_layers = 3 + -(-depths[2] // 3)
        size = per_axis("kernel_size", kernel_size, 2, least=1)
        rates = [drop_path_rate * block / (sum(depths) - 1) for block in range(sum(depths))]

        def new_block() -> Block:
            dwconv = Dcls2d(
                width,
                width,
                size,
                padding="same",
                groups=width,
                kernel_count=kernel_count,
                interpolation=interpolation,
                initial_spread=initial_spread,
                share_positions=share_positions,
            )
            return Block(dwconv, rates.pop(0), scale, use_grn)

        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        previous = in_channels
        for index, (depth, width) in enumerate(zip(self.depths, self.channels, strict=True)):
            if index == 0:
                layers = [nn.Conv2d(previous, width, 4, stride=4), ChannelNorm(width)]
            else:
                layers = [ChannelNorm(previous), nn.Conv2d(previous, width, 2, stride=2)]
            self.downsample_layers.append(nn.Sequential(*layers))
            blocks = [new_block() for _ in range(depth)]
            self.stages.append(Stage(blocks, share_positions, with_cp))
            if index in self.out_indices:
                self.add_module(f"norm{index}", ChannelNorm(width))
            previous = width
        self.apply(init_weight)
        self.register_load_state_dict_pre_hook(refuse_foreign)
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = []
        for index, (downsample, stage) in enumerate(
            zip(self.downsample_layers, self.stages, strict=True)
        ):
            x = stage(downsample(x))
            if index not in self.out_indices:
                continue
            norm = getattr(self, f"norm{index}")
            if self.gap_before_final_norm:
                maps.append(norm(x.mean((2, 3), keepdim=True)).flatten(1))
            else:
                maps.append(norm(x).contiguous())
        return tuple(maps)

    def train(self, mode: bool = True) -> "DclsConvNeXt":
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        stages = self.stages[: self.frozen_stages]
        for module in (*self.downsample_layers[: max(self.frozen_stages, 1)], *stages):
            module.eval()
            module.requires_grad_(False)

    def get_layer_depth(
        self,
        param_name: str,
        prefix: str = "",
        decay_type: str = "layer_wise",
        num_layers: int | None = None,
    ) -> tuple[int, int]:
        """Layer id of a parameter and the largest id, for learning rates that decay with depth.

        Ids as in ConvNeXt's recipes for dense prediction: "layer_wise" counts groups of blocks,
        "stage_wise" counts stages; the output norms rank with the heads, `num_layers` + 1.
        Positions shared by a stage rank with its first block.
        """
        num_layers = num_layers or self.num_layers
        top = num_layers + 1
        kind, _, rest = param_name.removeprefix(prefix).partition(".")
        if kind not in ("downsample_layers", "stages"):
            return top, top
        stage, _, rest = rest.partition(".")
        stage, block = int(stage), rest.partition(".")[0]
        block = int(block) if kind == "stages" and block.isdigit() else 0
        if decay_type == "stage_wise":
            return (stage + 1 if kind == "stages" else 0), top
        if stage == 3:
            return num_layers, top
        layer = (0, 2, 3)[stage] if kind == "downsample_layers" else (1, 2, 3 + block // 3)[stage]
        return min(layer, num_layers), top


@torch.no_grad()
def init_weight(module: nn.Module) -> None:
    """As published: truncated normal weights, zero biases."""
    if isinstance(module, (nn.Conv2d, nn.Linear, Dcls2d)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
