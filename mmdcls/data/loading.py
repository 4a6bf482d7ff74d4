"""Whether loops, samplers, batches and wrappers of data sets go together."""

import os
from collections.abc import Iterator

from mmengine.registry import DATASETS
from PIL import Image
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdcls.config import loader_dataset, nodes, sets_of
from mmdcls.registry import bare_name

from .findings import Finding, Run
from .sets import OF_FILES, class_of, transform

ENDLESS = ("InfiniteSampler", "MultiSourceSampler", "GroupMultiSourceSampler")


def check_loop(run: Run) -> Iterator[Finding]:
    loop = run.cfg.get("train_cfg") or {}
    by_epoch = bare_name(loop.get("type", "")) == "EpochBasedTrainLoop" or loop.get("by_epoch")
    sampler = (run.cfg.get("train_dataloader") or {}).get("sampler") or {}
    if "train" in run.splits and by_epoch and bare_name(sampler.get("type", "")) in ENDLESS:
        yield Finding(
            f"train_cfg.type=EpochBasedTrainLoop needs a sampler that ends, and "
            f"train_dataloader.sampler.type={bare_name(sampler['type'])} never does; give "
            f"train_dataloader.sampler=dict(type='DefaultSampler', shuffle=True)."
        )


def check_wrappers(run: Run) -> Iterator[Finding]:
    for split in run.splits:
        top = loader_dataset(run.cfg, split)
        for path, node in nodes(f"{split}_dataloader.dataset", top):
            is_wrapper = "datasets" in node or isinstance(node.get("dataset"), dict)
            if is_wrapper and (rest := [key for key in OF_FILES if key in node]):
                yield Finding(
                    f"{path} of type {bare_name(node['type'])} has {', '.join(rest)} of the data "
                    f"set in the config that it inherits: add _delete_=True to it."
                )
            if bare_name(node.get("type", "")) == "ClassBalancedDataset":
                yield from check_class_of_images("ClassBalancedDataset", f"{path}.dataset", node)
        sampler = (run.cfg.get(f"{split}_dataloader") or {}).get("sampler") or {}
        if bare_name(sampler.get("type", "")) == "ClassAwareSampler":
            loader = run.cfg[f"{split}_dataloader"]
            path = f"{split}_dataloader.dataset"
            yield from check_class_of_images("ClassAwareSampler", path, loader)


def check_class_of_images(asker: str, path: str, owner: dict) -> Iterator[Finding]:
    """Of a piece that asks its data set which classes an image has."""
    kind = class_of(owner["dataset"])
    answer = getattr(kind, "get_cat_ids", None)
    # mmengine's own only says that it has no answer.
    if answer is None or answer.__module__ == "mmengine.dataset.base_dataset":
        yield Finding(
            f"{asker} needs to know the classes of an image, which {path} of type "
            f"{getattr(kind, '__name__', kind)} does not tell; leave it out, or give a data set "
            f"that does, such as CocoDataset."
        )


def check_single_images(run: Run) -> Iterator[Finding]:
    """BN has no statistics of one image that is pooled to a single cell."""
    if "train" not in run.splits or run.cfg.train_dataloader.get("batch_size") != 1:
        return
    are_many = run.cfg.get("launcher", "none") != "none"
    for path, module in run.model.named_modules():
        children = list(module.children())
        pooled = next((i for i, child in enumerate(children) if is_to_one_cell(child)), None)
        later = children[pooled + 1 :] if pooled is not None else ()
        norms = [n for child in later for n in child.modules() if isinstance(n, _BatchNorm)]
        is_shared = norms and isinstance(norms[0], nn.SyncBatchNorm)
        if norms and not (is_shared and are_many):
            yield Finding(
                f"train_dataloader.batch_size=1 and the BatchNorm of model.{path.partition('.')[0]}"
                f", which pools to a single cell, do not go together in one process: give 2 or "
                f"more, or norm_cfg=dict(type='GN', num_groups=...).",
                # Several processes, of which nothing is known before they start, share it.
                is_wrong=not is_shared,
            )
            return


def is_to_one_cell(module: nn.Module) -> bool:
    pools = isinstance(module, nn.AdaptiveAvgPool2d)
    return pools and module.output_size in (1, (1, 1), [1, 1])


def check_crops(run: Run) -> Iterator[Finding]:
    """Smaller images are padded to the preprocessor's size, and larger crops are not."""
    size = (run.model_config.get("data_preprocessor") or {}).get("size")
    if "train" not in run.splits or size is None:
        return
    for _, node in sets_of(run.cfg, "train"):
        names = [bare_name(step["type"]) for step in node.get("pipeline") or ()]
        later = names[names.index("RandomCrop") :] if "RandomCrop" in names else ()
        crop = (transform(node, "RandomCrop") or {}).get("crop_size")
        if crop is None or any("Resize" in name or "Pad" in name for name in later):
            continue
        if any(a > b for a, b in zip(pair(crop), pair(size), strict=True)):
            yield Finding(
                f"RandomCrop.crop_size={tuple(pair(crop))} is larger than "
                f"model.data_preprocessor.size={tuple(pair(size))}, to which smaller images are "
                f"padded, so that they do not stack with larger ones: give both the same.",
                is_wrong=False,
            )


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def check_evaluated_batches(run: Run) -> Iterator[Finding]:
    """mmseg pads images of several sizes in training only."""
    for split in run.splits:
        size = (run.cfg.get(f"{split}_dataloader") or {}).get("batch_size", 1)
        if split == "train" or size == 1 or not hasattr(run.model, "decode_head"):
            continue
        for _, node in sets_of(run.cfg, split):
            if not hasattr(class_of(node), "get_data_info"):
                continue  # not described by files
            steps = [step for step in node.get("pipeline") or () if isinstance(step, dict)]
            resizes = [step for step in steps if bare_name(step["type"]) == "Resize"]
            to_one_size = any("scale" in step and not step.get("keep_ratio") for step in resizes)
            if not to_one_size and (images := two_of_other_size(node)):
                first, other = images
                yield Finding(
                    f"{split}_dataloader.batch_size={size} needs images of one size, and {first} "
                    f"and {other} are of two; give 1."
                )


def two_of_other_size(node: dict) -> tuple[str, str] | None:
    """Two images of a data set whose sizes differ; only their headers are read."""
    dataset = DATASETS.build(dict(node, pipeline=[]))
    paths = [dataset.get_data_info(index)["img_path"] for index in range(len(dataset))]
    first = None
    for path in filter(os.path.isfile, paths):
        with Image.open(path) as image:
            size = image.size
        first = first or (path, size)
        if size != first[1]:
            return first[0], path
    return None
