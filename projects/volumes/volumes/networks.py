"""MONAI's MedNeXt (arXiv 2303.09975), small, with the depthwise kernels of an arm."""

from collections.abc import Sequence

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmdcls.dcls import DepthwiseConv2d, DepthwiseConv3d, convert
from mmdcls.errors import InputError

# Of the published network's blocks; those that change the size keep it in every arm.
PUBLISHED_SIZE = 3
PLAIN = {2: DepthwiseConv2d, 3: DepthwiseConv3d}


@MODELS.register_module()
def volume_network(
    in_channels: int,
    num_classes: int,
    kernel: dict,
    keep_frames: bool,
    filters: int = 8,
    blocks: Sequence[int] = (1, 1),
) -> nn.Module:
    """(N, C, L, H, W) -> (N, classes, L, H, W), what is halved a multiple of 2 ** len(blocks).

    kernel: of the depthwise convolutions that keep the size; its type is a row of `KERNELS`, the
        rest are that one's arguments.
    keep_frames: halve H and W alone on the way down, and not L.
    filters: channels at full size. blocks: at each size on the way down, and on the way up.
    """
    kernel = dict(kernel)
    kind = kernel.pop("type")
    if kind not in KERNELS:
        raise InputError(f"kernel.type={kind!r} must be one of {', '.join(KERNELS)}.")

    def network(axes: int) -> nn.Module:
        made = med_next(axes, in_channels, num_classes, filters, blocks)
        return keeping_frames(made) if keep_frames and axes == 3 else made

    return KERNELS[kind](network, **kernel)


def med_next(
    axes: int, in_channels: int, num_classes: int, filters: int, blocks: Sequence[int]
) -> nn.Module:
    try:
        from monai.networks.nets import MedNeXt
    except ImportError as error:
        raise InputError(
            f"The network is MONAI's ({error}); install it: pip install --no-deps -c "
            f"constraints.txt monai"
        ) from error
    return MedNeXt(
        spatial_dims=axes,
        init_filters=filters,
        in_channels=in_channels,
        out_channels=num_classes,
        kernel_size=PUBLISHED_SIZE,
        use_residual_connection=True,
        blocks_down=blocks,
        blocks_bottleneck=blocks[-1],
        blocks_up=blocks[::-1],
    )


def keeping_frames(network: nn.Module) -> nn.Module:
    for block in (*network.down_blocks, *network.up_blocks):
        block.conv1.stride = block.res_conv.stride = (1, 2, 2)
    for index, block in enumerate(network.up_blocks):
        network.up_blocks[index] = nn.Sequential(block, WithoutFirstFrame())
    return network


class WithoutFirstFrame(nn.Module):
    """After doubling, MedNeXt fills all axes up by one at their start; L was not doubled."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1:]


def dense(network, kernel_size: int) -> nn.Module:
    return with_kernels(network(3), kernel_size)


def frames(network, kernel_size: int) -> nn.Module:
    """The network of maps, on every frame alone."""
    return FrameByFrame(with_kernels(network(2), kernel_size))


def dcls(network, **options) -> nn.Module:
    """options: of `mmdcls.dcls.Rule`."""
    rule = dict(where=r".*\.conv1", where_depthwise=True, where_stride=1, start="random")
    model, _ = convert(network(3), {**rule, "share": "layer", **options})
    return model


# What makes the network of an arm, from what makes MedNeXt for a number of axes.
KERNELS = dict(dense=dense, frames=frames, dcls=dcls)


def with_kernels(network: nn.Module, kernel_size: int) -> nn.Module:
    """Depthwise convolutions that keep the size are drawn anew, with this kernel."""
    for module in list(network.modules()):
        conv = getattr(module, "conv1", None)
        if type(conv) in (nn.Conv2d, nn.Conv3d) and max(conv.stride) == 1:
            kind, channels = PLAIN[len(conv.kernel_size)], conv.in_channels
            module.conv1 = kind(
                channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
            )
    return network


class FrameByFrame(nn.Module):
    """A network of maps, for volumes (N, C, L, H, W)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        maps = self.network(x.transpose(1, 2).flatten(0, 1))
        return maps.unflatten(0, (len(x), x.shape[2])).transpose(1, 2)
