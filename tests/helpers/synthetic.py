"""Tiny data sets in the layout that a config asks for, and options that make a config small.

Options are dotted keys, as for `Config.merge_from_dict` and for --cfg-options.
"""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mmengine.config import Config

from helpers.catalogue import CONFIGS
from mmdcls.models.arguments import ARCHS

SPLITS = ("train", "val", "test")
# The parts of a config that models and data are built from; the rest is what they were made of.
USED = ("model.", "tta_pipeline.", *(f"{split}_dataloader." for split in SPLITS))
IMAGE_SIZE = (90, 120)
IMAGES = 3
# Of a training of few iterations.
ITERATIONS = 2
# Of the boxes of two objects in every image: left, top, width, height.
BOXES = ((6, 8, 50, 60), (64, 20, 40, 45))
# The heads of segmentors, whose own width is called "channels", can be thinner than backbones.
THINNING, HEAD_THINNING = 4, 16
# Of transformers: the most layers, queries and points of a mask.
FEW = dict(num_layers=2, num_queries=20, num_dn_queries=10, num_points=64, max_per_image=20)


class Thin(NamedTuple):
    """A small network of a kind: its options, and its channels by those of the full one."""

    options: dict
    channels: dict[int, int]


def smaller_of_timm(model_name: str, full: list[int], thin: list[int]) -> Thin:
    return Thin(dict(model_name=model_name, drop_path_rate=0.0), dict(zip(full, thin, strict=True)))


METAFORMER, CONVNEXT, ATTO = [64, 128, 320, 512], [96, 192, 384, 768], [40, 80, 160, 320]
RESNET = {width: width // THINNING for width in (256, 512, 1024, 2048)}
# By the network that is converted, or the model of timm.
THIN = {
    "ResNet": Thin(dict(base_channels=16), RESNET),
    "ResNetV1c": Thin(dict(base_channels=16, stem_channels=16), RESNET),
    "MSCAN": Thin(
        dict(embed_dims=[8, 16, 40, 64], depths=[1, 1, 2, 1], drop_path_rate=0.0),
        {64: 16, 160: 40, 256: 64},
    ),
    "CSPNeXt": Thin(dict(widen_factor=0.125), {128: 32, 256: 64, 512: 128}),
    "MobileNetV2": Thin(dict(widen_factor=0.25), {24: 8, 32: 8, 96: 24, 320: 80}),
    "convnext_tiny": smaller_of_timm("convnext_atto", CONVNEXT, ATTO),
    "inception_next_tiny": smaller_of_timm("inception_next_atto", CONVNEXT, ATTO),
    "fastvit_sa24": smaller_of_timm("fastvit_t8", [64, 128, 256, 512], [48, 96, 192, 384]),
    # There is none that is smaller.
    "convformer_s18": smaller_of_timm("convformer_s18", METAFORMER, METAFORMER),
    "caformer_s18": smaller_of_timm("caformer_s18", METAFORMER, METAFORMER),
}


def write_ade(root: Path) -> dict:
    return write_data(Config.fromfile(CONFIGS / "_base_/datasets/ade20k.py"), root)


def write_coco(root: Path) -> dict:
    return write_data(Config.fromfile(CONFIGS / "_base_/datasets/coco_instance.py"), root)


def write_data(cfg: Config, root: Path) -> dict:
    """Write images of rectangles and their truth, where the config's data sets will look."""
    options = {}
    for split in SPLITS:
        dataset = cfg[f"{split}_dataloader"].dataset
        options[f"{split}_dataloader.dataset.data_root"] = str(root)
        if isinstance(dataset.get("data_prefix"), str):
            options[f"{split}_dataloader.dataset.ann_file"] = write_list(dataset, root)
        elif "ann_file" in dataset:
            write_instances(dataset, root)
            if split != "train":
                options[f"{split}_evaluator.ann_file"] = str(root / dataset.ann_file)
        else:
            write_label_maps(dataset, root)
    return options


def write_list(dataset: dict, root: Path) -> str:
    """Images of the first classes; returns the name of the list of their labels."""
    folder, name = root / dataset.data_prefix, f"{dataset.data_prefix}.txt"
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images()):
        cv2.imwrite(str(folder / f"{index}.jpg"), image)
    (root / name).write_text("\n".join(f"{index}.jpg {index % 2}" for index in range(IMAGES)))
    return name


def write_label_maps(dataset: dict, root: Path) -> None:
    """Rectangles of the first labels, and a stripe of the last; 0 may mean "unlabelled"."""
    folders = [root / dataset.data_prefix[key] for key in ("img_path", "seg_map_path")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    truth = np.zeros(IMAGE_SIZE, np.uint8)
    for label, (x, y, width, height) in enumerate(BOXES, start=1):
        truth[y : y + height, x : x + width] = label
    truth[-3:] = len(classes_of("mmseg", dataset)) - (dataset.type != "ADE20KDataset")
    for index, image in enumerate(images()):
        cv2.imwrite(str(folders[0] / f"{index}{dataset.get('img_suffix', '.jpg')}"), image)
        cv2.imwrite(str(folders[1] / f"{index}.png"), truth)


def write_instances(dataset: dict, root: Path) -> None:
    """Rectangles with boxes and polygons, of the first categories."""
    folder, file = root / dataset.data_prefix.img, root / dataset.ann_file
    for needed in (folder, file.parent):
        needed.mkdir(parents=True, exist_ok=True)
    height, width = IMAGE_SIZE
    content = dict(images=[], annotations=[], categories=[])
    for number, name in enumerate(classes_of("mmdet", dataset), start=1):
        content["categories"].append(dict(id=number, name=name))
    for index, image in enumerate(images()):
        name = f"{index}.jpg"
        cv2.imwrite(str(folder / name), image)
        content["images"].append(dict(id=index, file_name=name, height=height, width=width))
        for category, (x, y, w, h) in enumerate(BOXES, start=1):
            content["annotations"].append(
                dict(
                    id=len(content["annotations"]) + 1,
                    image_id=index,
                    category_id=category,
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=0,
                    segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                )
            )
    file.write_text(json.dumps(content))


def classes_of(package: str, dataset: dict) -> tuple[str, ...]:
    if "metainfo" in dataset:
        return dataset.metainfo.classes
    return import_module(f"{package}.registry").DATASETS.get(dataset.type).METAINFO["classes"]


def images() -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(IMAGES):
        image = random.integers(0, 80, (*IMAGE_SIZE, 3), dtype=np.uint8)
        for shade, (x, y, width, height) in enumerate(BOXES, start=1):
            image[y : y + height, x : x + width] += np.uint8(80 * shade)
        yield image


def in_process() -> dict:
    """Options that load data without worker processes."""
    options = {}
    for split in SPLITS:
        options[f"{split}_dataloader.num_workers"] = 0
        options[f"{split}_dataloader.persistent_workers"] = False
    return options


def thin_model(cfg: Config) -> dict:
    """Options for a model of the same build, with fewer channels, blocks and proposals.

    What a head takes is divided as what its backbone gives, so a head that does not fit still does
    not fit. A backbone of its own sizes, as in the demo, is small enough.
    """
    options = {
        key: 32
        for key, _ in leaves("model", cfg.model)
        if key.endswith(("nms_pre", "max_per_img", "sampler.num"))
    }
    # An untrained model is sure of nothing.
    options |= {key: 0.0 for key, _ in leaves("model", cfg.model) if key.endswith("score_thr")}
    # The published weights are of the full width, and behind URLs.
    options["model.backbone.init_cfg"] = None
    backbone = cfg.model.backbone
    is_converted = backbone.type == "mmdcls.Converted"
    arch = backbone.get("arch")
    if not is_converted and not isinstance(arch, str):
        return options
    thin = thin_network(backbone) if is_converted else Thin({}, {})
    # The width of its queries is written in mmdet's code.
    kept = (".out_channels", "embed_dims", "num_feats") if cfg.model.type == "DINO" else ()
    for key, value in leaves("model", cfg.model):
        if key.startswith("model.backbone.") or key.endswith(kept):
            continue
        if key.endswith("channels"):
            divisor = HEAD_THINNING if key.endswith(".channels") else THINNING
            many = value if isinstance(value, (list, tuple)) else [value]
            channels = thin.channels if key.endswith("in_channels") else {}
            few = [channels.get(width, width // divisor) for width in many]
            options[key] = few if many is value else few[0]
        elif key.endswith(("num_groups", "embed_dims", "num_feats")) and value is not None:
            options[key] = value // THINNING
        elif (name := key.rpartition(".")[2]) in FEW:
            options[key] = min(value, FEW[name])
    if is_converted:
        return options | {f"model.backbone.{name}": value for name, value in thin.options.items()}
    return {
        **options,
        "model.backbone.drop_path_rate": 0.0,
        "model.backbone.arch._delete_": True,
        "model.backbone.arch.depths": [1, 1, 2, 1],
        "model.backbone.arch.channels": [width // THINNING for width in ARCHS[arch]["channels"]],
    }


def thin_network(backbone: dict) -> Thin:
    return THIN[backbone.get("model_name", backbone.network).partition(".")[0]]


def few_iterations(cfg: Config) -> dict:
    """Options for a training that is over after ITERATIONS."""
    options = {
        "train_dataloader.dataset.indices": 2 * ITERATIONS,
        "val_dataloader.dataset.indices": 1,
        "test_dataloader.dataset.indices": 1,
        "default_hooks.logger.interval": 1,
    }
    if cfg.train_cfg.type == "EpochBasedTrainLoop":
        # mmcv's nms and roi_align know no bfloat16 on CPUs.
        return {**options, "train_cfg.max_epochs": 1, "optim_wrapper.type": "OptimWrapper"}
    return {
        **options,
        **quarter_size(cfg),
        "train_cfg.max_iters": ITERATIONS,
        "train_cfg.val_interval": ITERATIONS,
        "default_hooks.checkpoint.interval": ITERATIONS,
    }


def written(options: dict) -> list[str]:
    """Options as --cfg-options take them."""
    return [f"{key}={value}".replace(" ", "") for key, value in options.items()]


def quarter_size(cfg: Config) -> dict:
    """Options for a segmentor that sees, and slides over, images of a quarter of the side."""
    sizes = ("crop_size", "stride", "scale", "data_preprocessor.size")
    return {
        key: value // 4 if isinstance(value, int) else tuple(side // 4 for side in value)
        for key, value in leaves("", cfg.to_dict())
        if key.startswith(USED) and key.endswith(sizes) and not isinstance(value, float)
    }


def small_scales(cfg: Config) -> dict:
    """Options for a detector that is trained on images of about their own size."""
    found = leaves("train_dataloader", cfg.train_dataloader)
    return {key: [(120, 160)] for key, _ in found if key.endswith(".scales")}


def leaves(prefix: str, node: object) -> Iterator[tuple[str, object]]:
    """Every value below the node, with the dotted key that names it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(f"{prefix}.{key}" if prefix else key, value)
    elif isinstance(node, (list, tuple)) and any(isinstance(i, (dict, list)) for i in node):
        for index, value in enumerate(node):
            yield from leaves(f"{prefix}.{index}", value)
    else:
        yield prefix, node
