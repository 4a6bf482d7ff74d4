"""What each part of a model costs, as its config builds it: segmentor, detector or classifier."""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmdcls.config import nodes, one_line
from mmdcls.dcls import DclsNd, merged
from mmdcls.errors import InputError
from mmdcls.registry import bare_name

from .counting import Cost, costs_of, parameters
from .transformers import BEFORE, is_detr, queries_of, run_detr, run_mask_head

# Height and width for which tables of models are counted, by default_scope.
SIZES = dict(mmseg=(512, 2048), mmdet=(800, 1280), mmpretrain=(224, 224))
# Of the dense network that a DclsConvNeXt stands for.
PLAIN_SIZE = 7


class Part(NamedTuple):
    """parameters: of the model that learns; merged_parameters: of its plain convolutions."""

    parameters: int
    merged_parameters: int
    cost: Cost


def size_of(cfg: Config) -> tuple[int, int]:
    """Raises InputError for a scope that has no published tables."""
    scope = cfg.get("default_scope")
    if scope not in SIZES:
        raise InputError(
            f"default_scope={scope!r} of the config is none of {', '.join(SIZES)}; give the height "
            f"and width to count for by --shape."
        )
    return SIZES[scope]


def count(cfg: Config, size: tuple[int, int]) -> dict[str, Part]:
    """For one image of this height and width, DCLS merged to plain convolutions of full size.

    Nothing is computed, for the network runs on torch's meta device; but transformers with queries
    are. Detectors of two stages take as many proposals, and masks, as `model.test_cfg` lets
    through. Parts that do not run at inference, such as auxiliary heads, are those whose
    `cost.has_run` is False.

    Raises InputError for models that cannot be built, or run so.
    """
    model = built(cfg).eval()
    learning = parts_of(model)
    plain = merged(model, trim=False).to("meta")
    parts = parts_of(plain)
    with costs_of(parts) as costs:
        run_on_meta(plain, size)
    return {
        name: Part(parameters(learning[name]), parameters(parts[name]), costs[name])
        for name in parts
    }


@torch.no_grad()
def run_on_meta(plain: nn.Module, size: tuple[int, int]) -> None:
    """One image through a network on torch's meta device, DCLS merged to plain convolutions.

    Raises InputError where the network cannot run so.
    """
    if min(size) < 1:
        raise InputError(f"--shape {size[0]} {size[1]} must be two numbers of pixels, from 1 on.")
    try:
        run(plain, torch.zeros(1, channels_of(plain), *size, device="meta"))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{type(plain).__name__} cannot be followed at {size[0]} x {size[1]} "
            f"({one_line(error).partition('. ')[0]}); give a larger size where that is the "
            f"reason, else take its parts in Python, by mmdcls.analysis.counting and profiling."
        ) from error


def built(cfg: Config) -> nn.Module:
    """Raises InputError for a type that nothing installed knows."""
    try:
        # mmdet's DINO writes into its config, and builds from what it wrote no more.
        return MODELS.build(copy.deepcopy(cfg.model))
    except KeyError as error:
        raise InputError(f"The model of the config cannot be built: {one_line(error)}.") from error


def parts_of(model: nn.Module) -> dict[str, nn.Module]:
    """The children of a model that have parameters; in place of a roi_head, its own.

    Of a detector with queries, all of the transformer is one part.
    """
    return {name: part for name, part in named_parts(model) if any(True for _ in part.parameters())}


def named_parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    with_queries = is_detr(model)
    if with_queries:
        yield "transformer", queries_of(model)
    for name, part in model.named_children():
        if with_queries and name not in BEFORE:
            continue
        if name == "roi_head":
            yield from ((f"{name}.{inner}", child) for inner, child in part.named_children())
        else:
            yield name, part


def channels_of(model: nn.Module) -> int:
    """Those of the first convolution."""
    return next(m.in_channels for m in model.modules() if isinstance(m, (nn.Conv2d, DclsNd)))


def run(model: nn.Module, image: Tensor) -> None:
    """Through all that runs at inference, without what has no parameters after it.

    Heads are called here, since mmseg and mmdet pass their hooks by.
    """
    if hasattr(model, "decode_head"):
        run_segmentor(model, image)
    elif hasattr(model, "roi_head"):
        run_two_stages(model, image)
    elif is_detr(model):
        run_detr(model, image)
    elif hasattr(model, "panoptic_head"):
        run_mask_head(model.panoptic_head, model.extract_feat(image), image)
    elif hasattr(model, "bbox_head"):
        model.bbox_head(model.extract_feat(image))
    else:
        model(image, mode="tensor")


def run_segmentor(model: nn.Module, image: Tensor) -> None:
    maps, heads = model.extract_feat(image), model.decode_head
    if hasattr(heads, "transformer_decoder"):
        run_mask_head(heads, maps, image)
        return
    if not isinstance(heads, nn.ModuleList):
        heads(maps)
        return
    # Of a cascade, each head but the first sees what the one before it says.
    said = heads[0](maps)
    for head in heads[1:]:
        said = head(maps, said)


def run_two_stages(model: nn.Module, image: Tensor) -> None:
    """With regions in the place of what RoIAlign, of which meta tensors know nothing, cuts out."""
    others = parts_of(model.roi_head).keys() - {"bbox_head", "mask_head"}
    if others:
        raise NotImplementedError(f"how its {', '.join(sorted(others))} runs is not known here")
    maps = model.extract_feat(image)
    if model.with_rpn:
        model.rpn_head(maps)
    run_heads(model.roi_head, "bbox", model.test_cfg.rpn.max_per_img, image)
    if model.roi_head.with_mask:
        run_heads(model.roi_head, "mask", model.test_cfg.rcnn.max_per_img, image)


def proposals_of(cfg: Config) -> str:
    """Of a detector of two stages, for the head of a table."""
    if "roi_head" not in cfg.model:
        return ""
    test = cfg.model.test_cfg
    masks = f", {test.rcnn.max_per_img} masks" if cfg.model.roi_head.get("mask_head") else ""
    return f", {test.rpn.max_per_img} proposals{masks}"


def run_heads(roi_head: nn.Module, kind: str, count: int, image: Tensor) -> None:
    """Each head of this kind, of one stage or several, once."""
    heads, extractors = (
        getattr(roi_head, f"{kind}_head"),
        getattr(roi_head, f"{kind}_roi_extractor"),
    )
    if not isinstance(heads, nn.ModuleList):
        heads, extractors = [heads], [extractors]
    for head, extractor in zip(heads, extractors, strict=True):
        size = extractor.roi_layers[0].output_size
        head(image.new_zeros(count, extractor.out_channels, *size))


def dense(cfg: Config) -> Config | None:
    """The config of the network without DCLS, None where there is none in it: of DclsConvNeXts that
    with kernels of 7x7, of others that with the convolutions that `Converted` and `conv_cfg` found.
    """
    cfg, found = copy.deepcopy(cfg), False
    for _, node in nodes("", cfg.model):
        kind, conv_cfg = node.get("type"), node.get("conv_cfg")
        name = bare_name(kind) if kind is not None else ""
        if name == "DclsConvNeXt":
            node.kernel_size, found = PLAIN_SIZE, True
        elif name == "Converted":
            node.type, found = node.pop("network"), True
            node.pop("dcls")
        if conv_cfg and bare_name(conv_cfg.get("type", "")).startswith("Dcls"):
            node.conv_cfg, found = None, True
    return cfg if found else None
