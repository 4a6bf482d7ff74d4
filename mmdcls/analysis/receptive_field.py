"""Effective receptive fields: which pixels of an image one cell of the last map depends on.

As RepLKNet measures them (arXiv 2203.06717, after arXiv 1701.04128), but for the image's size: the
map has an odd number of cells a side, so that its middle cell sees from the middle of the image.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmdcls.dcls import merged

SHARES = (0.2, 0.3, 0.5, 0.99)


class Area(NamedTuple):
    """The smallest square in the middle of a field that holds more than `share` of its sum.

    side: in pixels; None where no square within the field holds as much.
    area: of the square, as a share of the image's.
    """

    share: float
    side: int | None
    area: float | None


def effective_receptive_field(
    backbone: nn.Module, images: Iterable[Tensor], layer: str | None = None
) -> Tensor:
    """The mean over images (channels, H, W), normalised as the backbone wants them: (H, W).

    The middle cell of the last stage's map goes through a ReLU and is summed over its channels; the
    field is the sum over the colours of the positive part of its gradient. The network is in eval,
    DCLS merged to plain convolutions.

    layer: name of the module whose map it is; without, the last of `backbone.stages`, before the
        norm that follows it, or all of a backbone that has no stages.

    Raises ValueError where the map has no middle cell, for a layer that is not there or does not
    run, for gradients that are not finite, for images of several sizes, and for none.
    """
    plain = merged(backbone).requires_grad_(False)
    # Not in one line: mm's backbones return nothing.
    plain.eval()
    maps: list[Tensor] = []
    module = observed(plain, layer)
    handle = module.register_forward_hook(lambda module, inputs, output: maps.append(output))
    fields = []
    try:
        for number, image in enumerate(images):
            maps.clear()
            fields.append(field_of(plain, image, maps))
            if not fields[-1].isfinite().all():
                raise ValueError(f"image {number} gives a gradient with NaN or infinity")
    finally:
        handle.remove()
    if not fields:
        raise ValueError("there is no image to take a field of; give one or more")
    if len({field.shape for field in fields}) > 1:
        raise ValueError("images of different sizes have no field in common; resize them")
    return torch.stack(fields).mean(0)


def observed(backbone: nn.Module, layer: str | None) -> nn.Module:
    if layer is not None:
        modules = dict(backbone.named_modules())
        if layer not in modules:
            raise ValueError(
                f"layer={layer!r} is no module of the backbone; name one of its named_modules()"
            )
        return modules[layer]
    stages = getattr(backbone, "stages", None)
    return stages[-1] if isinstance(stages, (nn.ModuleList, nn.Sequential)) else backbone


def field_of(backbone: nn.Module, image: Tensor, maps: list[Tensor]) -> Tensor:
    """maps: where the backbone's run leaves the map that is observed."""
    x = image.detach()[None].requires_grad_()
    with torch.enable_grad():
        backbone(x)
        if not maps:
            raise ValueError("the layer does not run when the backbone does; name another")
        found = maps[-1][-1] if isinstance(maps[-1], (list, tuple)) else maps[-1]
        (gradient,) = torch.autograd.grad(middle_of(found).relu().sum(), x)
    return gradient[0].relu().sum(0)


def middle_of(found: Tensor) -> Tensor:
    """The channels of the middle cell of a map (1, channels, H, W)."""
    if not isinstance(found, Tensor) or found.dim() != 4:
        kind = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"what is observed must be a map (1, channels, height, width), got {kind}; name "
            f"another layer"
        )
    height, width = found.shape[2:]
    if height % 2 == 0 or width % 2 == 0:
        raise ValueError(
            f"a map of {height} x {width} cells has no middle cell; resize images so that both are "
            f"odd, as 1056 pixels are for a network of stride 32"
        )
    return found[0, :, height // 2, width // 2]


def area_table(field: Tensor, shares: Sequence[float] = SHARES) -> list[Area]:
    """For a field (H, W), how large a square in its middle holds each share of its sum.

    Squares grow by a pixel on each side, up to the shorter side of the field.
    """
    field = field.double()
    total, (height, width) = field.sum(), field.shape
    shorter = min(height, width)
    # Of the parity of the field's own side, so that its middle is theirs.
    sides = torch.arange(2 - shorter % 2, shorter + 1, 2)
    top, left = (height - sides) // 2, (width - sides) // 2
    below, right = top + sides, left + sides
    held = nn.functional.pad(field.cumsum(0).cumsum(1), (1, 0, 1, 0))
    sums = held[below, right] - held[top, right] - held[below, left] + held[top, left]
    found = []
    for share in shares:
        larger = (sums > share * total).nonzero()
        if len(larger):
            side = int(sides[larger[0]])
            found.append(Area(share, side, side**2 / (height * width)))
        else:
            found.append(Area(share, None, None))
    return found
