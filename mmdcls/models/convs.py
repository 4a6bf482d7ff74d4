"""DCLS layers for every `conv_cfg` of mmcv, mmdet and mmsegmentation."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from mmdcls.dcls import Dcls1d, Dcls2d, Dcls3d, DclsNd
from mmdcls.dcls.arguments import LARGEST, check_choice, check_flag, check_whole, per_axis
from mmdcls.dcls.geometry import PADDING_MODES, check_channels, checked_geometry
from mmdcls.dcls.interpolation import get_interpolation
from mmdcls.dcls.spreads import check_initial_spread
from mmdcls.errors import InputError
from mmdcls.registry import MODELS


def conv_factory(layer: type[DclsNd], plain: type[nn.Module]) -> Callable[..., nn.Module]:
    def build(
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        *,
        kernel_count: int,
        where_kernel_size: int | None = None,
        where_depthwise: bool | None = None,
        dcls_kernel_size: int | None = None,
        interpolation: str = "bilinear",
        initial_spread: str = "normal",
        share_positions: bool = False,
        **others,
    ) -> nn.Module:
        """A DCLS layer where a network asks for a convolution, as conv_cfg.

        A conv_cfg reaches every convolution of a network, so this decides which ones change. A
        kernel of a single cell has no room for elements to move and stays a plain convolution. In
        place of a dilated kernel comes one of its extent, (k - 1) * dilation + 1.

        where_kernel_size: replace only the convolutions of this kernel size; None means all that
            are larger than one cell.
        where_depthwise: of those, replace only the depthwise ones (or only the others); None means
            all.
        dcls_kernel_size: kernel size of the DCLS layers, without dilation; the padding grows with
            it, so that the output keeps its size. None keeps the size that the network asks for.
        """
        asked = per_axis("kernel_size", kernel_size, layer.axes, least=1)
        check_whole("kernel_count", kernel_count, least=1, most=LARGEST)
        get_interpolation(interpolation)
        check_initial_spread(initial_spread)
        if share_positions is not False:
            raise ValueError(
                f"share_positions={share_positions!r} is refused: no module of the network could "
                f"own the positions of its convolutions; leave it out of conv_cfg"
            )
        for name, size in dict(
            where_kernel_size=where_kernel_size, dcls_kernel_size=dcls_kernel_size
        ).items():
            if size is not None:
                check_whole(name, size, least=1, most=LARGEST)
        if where_depthwise is not None:
            check_flag("where_depthwise", where_depthwise)
        is_depthwise = others.get("groups", 1) == in_channels == out_channels
        is_of_size = where_kernel_size is None or set(asked) == {where_kernel_size}
        wanted = is_of_size and where_depthwise in (None, is_depthwise)
        if max(asked) == 1 or not wanted:
            check_plain(in_channels, out_channels, asked, stride, padding, dilation, **others)
            return plain(
                in_channels, out_channels, kernel_size, stride, padding, dilation, **others
            )
        size = asked
        if dcls_kernel_size is not None:
            size, padding = enlarge(asked, padding, dcls_kernel_size)
        spacing = per_axis("dilation", dilation, layer.axes, least=1)
        reach = zip(size, asked, spacing, strict=True)
        built = layer(
            in_channels,
            out_channels,
            tuple(new + (old - 1) * (step - 1) for new, old, step in reach),
            stride,
            padding,
            kernel_count=kernel_count,
            interpolation=interpolation,
            initial_spread=initial_spread,
            **others,
        )
        built.register_load_state_dict_pre_hook(refuse_dense)
        return built

    build.__name__ = layer.__name__.lower()
    return MODELS.register_module(name=layer.__name__, module=build)


def refuse_dense(layer: DclsNd, state: Mapping[str, Tensor], prefix: str, *others) -> None:
    """Hook of `load_state_dict`, with which mmengine would leave the layer random and go on.

    Raises InputError for a dense kernel.
    """
    kernel = state.get(f"{prefix}weight")
    has_elements = kernel is None or f"{prefix}positions" in state
    if not has_elements and kernel.shape != layer.weight.shape:
        raise InputError(
            f"{prefix}weight is a dense kernel of shape {tuple(kernel.shape)}, and the layer is "
            f"DCLS, by conv_cfg: load the file with init_cfg=dict(type='mmdcls.Pretrained', "
            f"checkpoint=...), which makes elements of dense kernels."
        )


def check_plain(
    in_channels: int,
    out_channels: int,
    kernel_size: tuple[int, ...],
    stride: int | Sequence[int],
    padding: int | Sequence[int] | str,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: str = "zeros",
    **others,
) -> None:
    """Raises ValueError for what a DCLS layer would refuse too, where torch's name nothing."""
    check_channels(in_channels, out_channels, groups)
    checked_geometry(stride, padding, dilation, kernel_size)
    check_flag("bias", bias)
    check_choice("padding_mode", padding_mode, PADDING_MODES)


def enlarge(
    asked: tuple[int, ...], padding: int | Sequence[int] | str, size: int
) -> tuple[tuple[int, ...], tuple[int, ...] | str]:
    if any(size < old or (size - old) % 2 for old in asked):
        raise ValueError(
            f"dcls_kernel_size={size!r} must be at least the kernel_size={asked} that the network "
            f"asks for, and odd or even as that is, so that the padding can follow"
        )
    sizes = (size,) * len(asked)
    if padding == "same":
        return sizes, padding
    sides = per_axis("padding", 0 if padding == "valid" else padding, len(asked), least=0)
    if max(sides) == 0 and sizes != asked:
        raise ValueError(
            f"dcls_kernel_size={size} needs a padding that can follow, and a convolution with "
            f"kernel_size={asked} has padding={padding!r}: it has none, or ConvModule pads in its "
            f"place (padding_mode); leave dcls_kernel_size out, or give where_kernel_size"
        )
    return sizes, tuple(p + (size - old) // 2 for p, old in zip(sides, asked, strict=True))


dcls1d = conv_factory(Dcls1d, nn.Conv1d)
dcls2d = conv_factory(Dcls2d, nn.Conv2d)
dcls3d = conv_factory(Dcls3d, nn.Conv3d)
