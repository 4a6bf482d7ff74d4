"""What detectors and segmentors with queries cost.

Their deformable attention asks for the sizes of maps as numbers, which tensors on torch's meta
device do not have. So the convolutions before it run there, and only what comes after is computed.
"""

import torch
from torch import Tensor, nn

# Of a detector with queries, what stands before them.
BEFORE = ("backbone", "neck")


class Sample:
    """What such models ask of an image: that nothing of it is padding."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.batch_input_shape = self.img_shape = size
        self.metainfo = dict(batch_input_shape=size, img_shape=size)


def is_detr(model: nn.Module) -> bool:
    return hasattr(model, "forward_transformer")


def queries_of(model: nn.Module) -> nn.ModuleList:
    """All of a DETR but the convolutions before, as one part: its pieces call each other's.

    The last two branches of the head are called from outside of it, to choose the queries.
    """
    parts = [child for name, child in model.named_children() if name not in BEFORE]
    own = nn.ParameterList(model.parameters(recurse=False))
    head = model.bbox_head
    first = [head.cls_branches[-1], head.reg_branches[-1]] if model.as_two_stage else []
    return nn.ModuleList([*parts, own, *first])


def run_detr(model: nn.Module, image: Tensor) -> None:
    maps = model.extract_feat(image)
    on_cpu(queries_of(model))
    level = getattr(model, "level_embed", None)
    if level is not None:
        model.level_embed = nn.Parameter(torch.zeros(level.shape))
    inputs = model.forward_transformer(zeros_like(maps), [Sample(tuple(image.shape[2:]))])
    model.bbox_head(**inputs)


def run_mask_head(head: nn.Module, maps: tuple[Tensor, ...], image: Tensor) -> None:
    on_cpu(head)(zeros_like(maps), [Sample(tuple(image.shape[2:]))])


def zeros_like(maps: tuple[Tensor, ...]) -> list[Tensor]:
    return [torch.zeros(level.shape) for level in maps]


def on_cpu(module: nn.Module) -> nn.Module:
    """With zeros for values that the meta device does not have."""
    module.to_empty(device="cpu")
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.zero_()
    return module
