"""DCLS convolutions that look like `nn.ConvNd` from outside."""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from .arguments import LARGEST, check_choice, check_flag, check_whole, per_axis
from .cache import ParameterCache, may_cache
from .conv import convolve_as
from .depthwise import KEEPING_WAYS
from .elements import ElementPositions, Shares
from .from_dense import in_place_of, start_from_dense
from .geometry import (
    PADDING_MODES,
    check_causal,
    check_channels,
    checked_geometry,
    geometry_of,
    sides_of,
)
from .kernel import kernel_from_shares
from .trimming import trimmed

Layer = TypeVar("Layer", bound="DclsNd")


class DclsNd(ElementPositions):
    """Convolution whose few kernel elements learn where in a large kernel they stand.

    Arguments up to `padding_mode` are those of `nn.ConvNd`; kernel_size is the extent in which
    elements move (the papers' dilated kernel size), and dilation must be 1. Of a finished layer
    stride, padding, padding_mode and dilation may be set, as of `nn.ConvNd`. There is one more
    padding: "causal" puts kernel_size - 1 zeros before the first axis, time, and is "same" on the
    others, so that no output knows of later inputs (see `mmdcls.dcls.delays`).

    kernel_count: number of elements of every (out, in/groups) slice of the kernel.
    interpolation: a row of `mmdcls.dcls.INTERPOLATIONS`.
    initial_spread: where elements start, a row of `mmdcls.dcls.INITIAL_SPREADS`.
    share_positions: the layer owns no positions. Whoever owns them hands their shares, from
        `ElementPositions.shares()`, to forward, kernel and to_conv, or lends them for good
        (`borrow_positions`).

    dense_size, dense_dilation: of the dense kernel that the layer took the place of, its cells and
        their spacing; None and 1 where there was none.

    weight     (out, in/groups, kernel_count)
    positions  (axes, out, in/groups, kernel_count), offsets from the kernel's centre in cells;
               row a is kernel axis a, and an axis of one cell has no row
    sigma      the same shape, or None; the width is |sigma| + the interpolation's floor
    bias       (out,) or None

    Raises ValueError for arguments that do not fit. arXiv 2112.03740, arXiv 2306.00817.
    """

    axes: int
    bias: nn.Parameter | None
    # What mmcv's ConvModule asks of a convolution.
    transposed = False
    output_padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        kernel_count: int,
        interpolation: str = "bilinear",
        initial_spread: str = "normal",
        share_positions: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        axes = self.axes
        size = per_axis("kernel_size", kernel_size, axes, least=1)
        geometry = checked_geometry(stride, padding, dilation, size)
        if max(geometry.dilation) > 1:
            raise ValueError(
                f"dilation={geometry.dilation} is refused: the spacing is learned, so dilation "
                f"must be 1. For the reach of a dilated kernel of size k, use kernel_size = "
                f"(k - 1) * dilation + 1"
            )
        check_channels(in_channels, out_channels, groups)
        check_whole("kernel_count", kernel_count, least=1, most=LARGEST)
        check_flag("bias", bias)
        check_flag("share_positions", share_positions)
        check_choice("padding_mode", padding_mode, PADDING_MODES)
        check_causal(padding, padding_mode)
        shape = (out_channels, in_channels // groups, kernel_count)
        owned = None if share_positions else shape
        super().__init__(size, interpolation, owned, device, dtype, initial_spread)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_count = kernel_count
        self.stride, self.padding, self.dilation = geometry
        self.output_padding = (0,) * axes
        self.padding_mode = padding_mode
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.dense_size: tuple[int, ...] | None = None
        self.dense_dilation = (1,) * axes
        # In a tuple, for what a module holds itself is a part of it: the owner's parameters would
        # be in the state and in the optimiser once for each borrower.
        self._owner: tuple[ElementPositions, ...] = ()
        self.reset_weight()
        self._kernels = ParameterCache()

    def reset_weight(self) -> None:
        """Draw weight and bias as `nn.ConvNd` does for a dense kernel of kernel_count cells."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def reset_parameters(self) -> None:
        self.reset_positions()
        self.reset_weight()

    @property
    def owner(self) -> ElementPositions | None:
        """Who has the positions: itself, the lender, or None if their shares come from outside."""
        if self.positions is not None:
            return self
        return self._owner[0] if self._owner else None

    def borrow_positions(self, owner: ElementPositions) -> None:
        """Use, from here on, the positions of another module, without owning them.

        They stay the owner's alone: in the state, for the optimiser, in copies of both. The layer
        must have been made with share_positions=True, and the owner have positions.
        """
        if self.positions is not None:
            raise ValueError(
                "a layer that has positions cannot borrow any: make it with share_positions=True"
            )
        if owner.positions is None:
            raise ValueError(
                "a module without positions lends none: pass the one that has them to "
                "borrow_positions"
            )
        self._owner = (owner,)

    def shares(self) -> Shares:
        return self._owner[0].shares() if self._owner else super().shares()

    def kernel(self, shares: Shares | None = None) -> Tensor:
        """The dense kernel, (out, in/groups, *kernel_size), differentiable, built anew."""
        self.refresh_pruned()
        shares = self.shares() if shares is None else shares
        self.check_shares(shares)
        return kernel_from_shares(self.weight, shares)

    def refresh_pruned(self) -> None:
        """Make the weight of a layer that `torch.nn.utils.prune` masks anew.

        torch does so before forward alone; all else would see the weight of the last forward pass.
        """
        for hook in self._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                hook(self, ())

    def forward(self, x: Tensor, shares: Shares | None = None) -> Tensor:
        shares = self.shares() if shares is None else shares
        if self.training or not may_cache((self.weight, *shares)):
            kernel = self.kernel(shares)
        else:
            # Shares are built anew when positions change, so that they are known by identity.
            kernel = self._kernels.get((self.weight,), shares, lambda: self.kernel(shares))
        return convolve_as(self, x, kernel, self.bias)

    def check_shares(self, shares: Shares) -> None:
        """Raises ValueError for shares of positions that are not made for this layer."""
        needed = [(*self.weight.shape, size) for size in self.kernel_size]
        given = [tuple(share.shape) for share in shares]
        if given != needed:
            raise ValueError(
                f"shares of shapes {given} do not fit a layer that needs {needed}: take them from "
                f"an ElementPositions with kernel_size={self.kernel_size} and "
                f"element_shape={tuple(self.weight.shape)}"
            )

    @torch.no_grad()
    def to_conv(
        self, shares: Shares | None = None, trim: bool = False, keep_ways: bool = False
    ) -> nn.Module:
        """The plain `nn.ConvNd` that computes the same; after a layer of zeros for causal padding,
        which `nn.ConvNd` does not know.

        trim: leave out the borders in which all cells are zero, with as much padding; none of a
            causal kernel.
        keep_ways: a depthwise `Dcls2d` becomes a `DepthwiseConv2d`, a `Dcls3d` a
            `DepthwiseConv3d`.
        """
        kernel, (stride, padding, dilation) = self.kernel(shares), geometry_of(self)
        zeros = None
        if padding == "causal":
            zeros = zeros_around(sides_of(padding, self.kernel_size, dilation))
            padding = "valid"
        if trim:
            kernel, padding = trimmed(kernel, padding, dilation)
        plain = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[self.axes - 1]
        if keep_ways and self.groups == self.in_channels == self.out_channels:
            plain = KEEPING_WAYS.get(self.axes, plain)
        conv = plain(
            self.in_channels,
            self.out_channels,
            kernel.shape[2:],
            stride,
            padding,
            dilation,
            self.groups,
            bias=self.bias is not None,
            padding_mode=self.padding_mode,
            device=kernel.device,
            dtype=kernel.dtype,
        )
        conv.weight.copy_(kernel)
        if self.bias is not None:
            conv.bias.copy_(self.bias)
        conv.train(self.training)
        return conv if zeros is None else nn.Sequential(zeros, conv)

    @classmethod
    def from_conv(
        cls: type[Layer],
        conv: nn.Module,
        kernel_size: int | Sequence[int],
        kernel_count: int,
        interpolation: str = "bilinear",
    ) -> Layer:
        """A layer that starts as the plain `nn.ConvNd` given, and computes the same if it can.

        It can with an element for every cell of the dense kernel, and not by "gaussian"; else
        `mmdcls.dcls.fit` says what comes closest. Dilated convolutions serve as well.

        Raises ValueError where the dense kernel does not fit into kernel_size, or is not finite.
        """
        size = per_axis("kernel_size", kernel_size, cls.axes, least=1)
        layer = in_place_of(cls, conv, size, kernel_count, interpolation)
        start_from_dense([layer], conv.weight.detach()[None])
        return layer

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, kernel_count={self.kernel_count}, "
            f"interpolation={self.interpolation!r}, groups={self.groups}, "
            f"bias={self.bias is not None}, padding_mode={self.padding_mode!r}"
        )
        if self.positions is None:
            return f"{text}, {'borrowed' if self._owner else 'shared'} positions"
        return f"{text}, initial_spread={self.initial_spread!r}"


def zeros_around(sides: Sequence[tuple[int, int]]) -> nn.Module:
    """A layer that puts zeros before and after, per axis."""
    layer = (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)[len(sides) - 1]
    return layer(tuple(cells for before_after in reversed(sides) for cells in before_after), 0.0)


class Dcls1d(DclsNd):
    """As `DclsNd`, for inputs (N, C, L)."""

    axes = 1


class Dcls2d(DclsNd):
    """As `DclsNd`, for inputs (N, C, H, W)."""

    axes = 2


class Dcls3d(DclsNd):
    """As `DclsNd`, for inputs (N, C, D, H, W)."""

    axes = 3
