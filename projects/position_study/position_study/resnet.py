from collections.abc import Sequence

from mmengine.registry import MODELS
from mmseg.models import ResNet
from torch import nn

from mmdcls.dcls import convert, position_owners
from mmdcls.dcls.arguments import check_choice

from .backbone import random_numbers_of_its_own

# Both 3x3 convolutions of every block.
WHERE = r"layer\d\.\d\.conv[12]"
KERNELS = ("plain", "dcls", "frozen")


@MODELS.register_module(name="StudyResNet")
def study_resnet(
    kernel: dict, in_channels: int = 1, widths: Sequence[int] = (16, 32, 64), depth: int = 18
) -> nn.Module:
    """mmseg's ResNet, thin, without its last stage; a rule makes DCLS layers of its 3x3 kernels.

    kernel: dict(type="plain"), or dict(type="dcls", **options) with those of `mmdcls.dcls.Rule`;
        with "frozen" positions stay where they start.

    With the same seed all weights but those of the 3x3 kernels start the same whatever the kernel,
    those of what is built after it included.
    """
    options = dict(kernel)
    name = options.pop("type")
    check_choice("kernel.type", name, KERNELS)
    with random_numbers_of_its_own():
        network = ResNet(
            depth,
            in_channels,
            stem_channels=widths[0],
            base_channels=widths[0],
            num_stages=len(widths),
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=tuple(range(len(widths))),
            # As torch draws them, for what is drawn later would depend on the kernel.
            init_cfg=[],
        )
        if name == "plain":
            return network
        convert(network, dict(where=WHERE, start="random") | options)
    if name == "frozen":
        for owner in position_owners(network).values():
            owner.positions.requires_grad_(False)
    return network
