"""How far one cell of the last map sees, in pixels, in the middle of validation images."""

import math
from collections.abc import Iterator
from itertools import islice

import torch
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdcls.analysis.receptive_field import area_table, effective_receptive_field, observed
from mmdcls.wrapping import unwrapped

IMAGES = 12
# Of the field's sum; the names that records give to the sides of the squares which hold as much.
SHARES = {"field_50": 0.5, "field_99": 0.99}


def field_figures(runner: Runner) -> dict[str, float]:
    """Sides of the squares of `SHARES`; one that no square within the image holds is left out."""
    model = unwrapped(runner.model)
    was_training = model.training
    images = list(islice(images_of(runner, model), IMAGES))
    field = effective_receptive_field(model.backbone, with_a_middle(model.backbone, images))
    model.train(was_training)
    areas = area_table(field.cpu(), list(SHARES.values()))
    return {
        name: float(area.side)
        for name, area in zip(SHARES, areas, strict=True)
        if area.side is not None
    }


def images_of(runner: Runner, model: nn.Module) -> Iterator[Tensor]:
    model.eval()
    for batch in runner.val_dataloader:
        yield from model.data_preprocessor(batch, False)["inputs"]


@torch.no_grad()
def with_a_middle(backbone: nn.Module, images: list[Tensor]) -> list[Tensor]:
    """The middle of each image, of a height and a width at which the last map has a middle cell."""
    maps: list[Tensor] = []
    last = observed(backbone, None)
    handle = last.register_forward_hook(lambda module, inputs, output: maps.append(output))
    try:
        backbone(images[0][None])
    finally:
        handle.remove()
    found = maps[-1][-1] if isinstance(maps[-1], (list, tuple)) else maps[-1]
    sides = []
    for side, cells in zip(images[0].shape[1:], found.shape[2:], strict=True):
        # Some networks round a side that strides do not divide up, some down.
        stride = 2 ** round(math.log2(side / cells))
        sides.append(side if cells % 2 else stride * (cells - 1))
    offsets = [(side - kept) // 2 for side, kept in zip(images[0].shape[1:], sides, strict=True)]
    (top, left), (height, width) = offsets, sides
    return [image[:, top : top + height, left : left + width] for image in images]
