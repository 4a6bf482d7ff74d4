"""What goes into an exported file: from an image to what the network says of it, by task."""

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdcls.dcls import DclsNd
from mmdcls.errors import InputError

# For coarsest maps of stride 32, 64, 128 and 256.
SIDES = (64, 96, 160, 288)


class Graph(nn.Module):
    """Takes images (N, channels, height, width), float32, values 0 to 255; normalises them itself.

    channels: those that the first convolution takes.
    outputs: the names of what it returns.
    least_side: the least height and width at which the coarsest map has more than one cell; what
        is exported for any size takes no smaller images.
    """

    outputs: tuple[str, ...]
    least_side = 64

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        convolutions = (m for m in model.modules() if isinstance(m, (nn.Conv2d, DclsNd)))
        self.channels = next(convolutions).in_channels
        preprocessor = model.data_preprocessor
        for name, without in (("mean", 0.0), ("std", 1.0)):
            value = getattr(preprocessor, name, torch.tensor(without))
            self.register_buffer(name, value.float().expand(self.channels, 1, 1).clone())
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
                maps = self(torch.zeros(1, self.channels, self.least_side, self.least_side))
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


def channels_of(cfg: Config, graph: Graph) -> str:
    """The order in which the graph takes channels, where images in colour are loaded as BGR."""
    if graph.channels != 3:
        return "grey" if graph.channels == 1 else "as the test_pipeline loads them"
    preprocessor = cfg.model.get("data_preprocessor") or {}
    return "RGB" if preprocessor.get("bgr_to_rgb") or preprocessor.get("to_rgb") else "BGR"
