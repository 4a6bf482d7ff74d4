from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn

from mmdcls.dcls.arguments import check_choice
from mmdcls.models.convnext import Block, ChannelNorm, DclsConvNeXt

from .kernels import KERNELS


@contextmanager
def random_numbers_of_its_own() -> Iterator[None]:
    """Whatever is drawn within takes one number from torch's generator."""
    seed = int(torch.randint(2**62, ()))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@MODELS.register_module()
class StudyConvNeXt(BaseModule):
    """A small ConvNeXt whose depthwise convolutions are made by a row of `KERNELS`.

    kernel: dict(type=row, **options of that maker).
    stem_stride: of the first convolution, which cuts the input into patches of this size.
    out_indices, gap_before_final_norm: as of `DclsConvNeXt`, whose blocks and forward these are.

    With the same seed all weights but those of the depthwise convolutions start the same whatever
    the maker, those of what is built after it included.
    """

    def __init__(
        self,
        kernel: dict,
        in_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64),
        depths: Sequence[int] = (2, 2, 2),
        stem_stride: int = 2,
        layer_scale_init_value: float = 1.0,
        out_indices: Sequence[int] = (0, 1, 2),
        gap_before_final_norm: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        options = dict(kernel)
        name = options.pop("type")
        check_choice("kernel.type", name, KERNELS)
        self.out_indices = tuple(out_indices)
        self.gap_before_final_norm = gap_before_final_norm

        def new_block(dwconv: nn.Module) -> Block:
            return Block(dwconv, 0.0, layer_scale_init_value)

        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        previous = in_channels
        with random_numbers_of_its_own():
            for index, (depth, width) in enumerate(zip(depths, widths, strict=True)):
                if index == 0:
                    stem = nn.Conv2d(previous, width, stem_stride, stride=stem_stride)
                    layers = [stem, ChannelNorm(width)]
                else:
                    layers = [ChannelNorm(previous), nn.Conv2d(previous, width, 2, stride=2)]
                self.downsample_layers.append(nn.Sequential(*layers))
                self.stages.append(KERNELS[name](width, depth, new_block, **options))
                if index in self.out_indices:
                    self.add_module(f"norm{index}", ChannelNorm(width))
                previous = width
        # As torch draws them. ConvNeXt's deviation of 0.02 is made for 96 channels and more: with
        # 16 to 64 its blocks would start as all but the identity.
        for name, module in self.named_modules():
            if "dwconv" not in name.split(".") and hasattr(module, "reset_parameters"):
                module.reset_parameters()

    forward = DclsConvNeXt.forward
