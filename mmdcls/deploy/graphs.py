"""What goes into an exported file: from an image to what the network says of it, by task."""

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdcls.errors import InputError

# For coarsest maps of stride 32, 64, 128 and 256.
SIDES = (64, 96, 160, 288)


class Graph(nn.Module):
    """Takes images (N, 3, height, width), float32, values 0 to 255; normalises them itself.

    outputs: the names of what it returns.
    least_side: the least height and width at which the coarsest map has more than one cell; what
        is exported for any size takes no smaller images.
    """

    outputs: tuple[str, ...]
    least_side = 64

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        preprocessor = model.data_preprocessor
        for name, without in (("mean", 0.0), ("std", 1.0)):
            value = getattr(preprocessor, name, torch.full((3, 1, 1), without))
            self.register_buffer(name, value.float().clone())
        self.eval()

    def normalized(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


class Segmentor(Graph):
    """Returns the logits, (N, classes, height, width), at the size of the image."""

    outputs = ("logits",)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        x = self.normalized(image)
        return (self.model.encode_decode(x, [dict(img_shape=x.shape[2:])]),)


class Features(Graph):
    """Returns the maps of a detector's neck, finest first."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        for self.least_side in SIDES:
            with torch.no_grad():
                maps = self(torch.zeros(1, 3, self.least_side, self.least_side))
            if min(maps[-1].shape[2:]) > 1:
                break
        self.outputs = tuple(f"map{index}" for index in range(len(maps)))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.extract_feat(self.normalized(image)))


class Classifier(Graph):
    """Returns the logits, (N, classes)."""

    outputs = ("logits",)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.model(self.normalized(image), mode="tensor"),)


GRAPHS = {"mmseg": Segmentor, "mmdet": Features, "mmpretrain": Classifier}


def graph_of(cfg: Config, model: nn.Module) -> Graph:
    scope = cfg.get("default_scope")
    if scope not in GRAPHS:
        raise InputError(
            f"default_scope={scope!r} of the config must be one of {', '.join(GRAPHS)}: it says "
            f"what the model takes and returns."
        )
    return GRAPHS[scope](model)


def channels_of(cfg: Config) -> str:
    """The order in which the graph takes channels, where images are loaded as BGR."""
    preprocessor = cfg.model.get("data_preprocessor") or {}
    return "RGB" if preprocessor.get("bgr_to_rgb") or preprocessor.get("to_rgb") else "BGR"
