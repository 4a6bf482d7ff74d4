"""Which depthwise DCLS convolutions a network meets, at the size that its training sees."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from mmengine.config import Config
from torch import Tensor, nn

from mmdcls.config import loader_dataset, nodes
from mmdcls.dcls import DepthwiseConv2d, merged
from mmdcls.dcls.geometry import Geometry, geometry_of
from mmdcls.errors import InputError
from mmdcls.registry import bare_name

from .networks import built, run_on_meta

# Words in the names of transforms that change the size of images.
RESIZING = ("Resize", "Crop", "Choice", "Pad")


class Convolution(NamedTuple):
    """size: height and width of the map that it gets."""

    channels: int
    size: tuple[int, int]
    kernel_size: tuple[int, int]
    geometry: Geometry
    padding_mode: str


def convolutions_met(cfg: Config, size: tuple[int, int]) -> Counter[Convolution]:
    """How often one image of this height and width meets each, kernels in full size.

    Raises InputError for models that cannot be built or followed, and where there is none.
    """
    plain = merged(built(cfg).eval(), trim=False, keep_ways=True).to("meta")
    found: Counter[Convolution] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        found[convolution_of(module, inputs[0])] += 1

    with ExitStack() as hooks:
        for module in plain.modules():
            if isinstance(module, DepthwiseConv2d):
                hooks.callback(module.register_forward_pre_hook(note).remove)
        run_on_meta(plain, size)
    if not found:
        raise InputError(
            "No depthwise DCLS layer of two axes runs in the model of this config, and others have "
            "only the framework's way; give a config that has some, such as one with "
            "mmdcls.DclsConvNeXt."
        )
    return found


def convolution_of(module: nn.Module, x: Tensor) -> Convolution:
    kernel_size = tuple(module.kernel_size)
    return Convolution(
        x.shape[1], tuple(x.shape[2:]), kernel_size, geometry_of(module), module.padding_mode
    )


def crop_of(cfg: Config) -> tuple[int, int] | None:
    """Height and width of all images that training sees, None where these vary or are not said."""
    for _, node in nodes("", loader_dataset(cfg, "train")):
        for transform in reversed(node.get("pipeline") or ()):
            name = bare_name(transform.get("type", ""))
            if any(word in name for word in RESIZING):
                return size_after(transform, name, cfg.get("default_scope"))
    return None


def size_after(transform: dict, name: str, scope: str | None) -> tuple[int, int] | None:
    """Height and width of every image that a transform lets through, if it is one for all."""
    if name == "RandomResizedCrop":
        return pair(transform.get("scale"))
    if name in ("RandomCrop", "CenterCrop"):
        is_absolute = transform.get("crop_type", "absolute") == "absolute"
        # mmdet's are width and height.
        return pair(transform.get("crop_size"), scope == "mmdet") if is_absolute else None
    if name == "Resize":
        return None if transform.get("keep_ratio") else pair(transform.get("scale"), turned=True)
    return pair(transform.get("size"), turned=True) if name == "Pad" else None


def pair(size: int | Sequence[int] | None, turned: bool = False) -> tuple[int, int] | None:
    if size is None or isinstance(size, int):
        return None if size is None else (size, size)
    return tuple(reversed(size)) if turned else tuple(size)
