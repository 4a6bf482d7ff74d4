"""A few images of every data set, loaded with their truth before training begins."""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, TRANSFORMS
from torch.utils.data import Dataset

from mmdcls.config import sets_of
from mmdcls.errors import InputError
from mmdcls.registry import bare_name

from .coco_files import read
from .findings import Finding, Run
from .images import sixteen_bits
from .labels import are_of_binary_masks
from .reading import NamingPipeline, naming_bad_data, watch
from .sets import annotation_file, class_of, is_coco, transform
from .sizes import LOADING, watch_sizes

SAMPLES = 16


def check_samples(run: Run) -> Iterator[Finding]:
    hooks = run.cfg.get("custom_hooks") or ()
    skips = any(hook.get("policy") == "skip" for hook in hooks if isinstance(hook, dict))
    for split in run.splits:
        for _, node in sets_of(run.cfg, split):
            if node.get("pipeline") and not (split == "train" and skips):
                yield from faults_of(node)


def faults_of(node: dict) -> Iterator[Finding]:
    try:
        pipeline, samples = samples_of(node)
        labels = set()
        for sample in samples:
            loaded = pipeline(dict(sample))
            labels.update(np.unique(loaded.get("gt_seg_map", ())).tolist())
    except InputError as error:
        yield Finding(str(error))
        return
    if are_of_binary_masks(labels):
        yield Finding(
            f"Of {len(samples)} label maps in {node.get('data_root')} none has a label other than "
            f"0 and 255, which is ignored; binary masks of 0 and 255 must be written as 0 and 1.",
            is_wrong=False,
        )
    loading = transform(node, "LoadImageFromFile") or {}
    paths = [s["img_path"] for s in samples if os.path.isfile(s.get("img_path") or "")]
    deep = ((path, sixteen_bits(path, loading)) for path in paths)
    for path, fault in islice(((path, fault) for path, fault in deep if fault), 1):
        yield Finding(f"The image {path} {fault}.", is_wrong=False)


def samples_of(node: dict) -> tuple[Callable[[dict], dict | None], list[dict]]:
    """Descriptions of images, and what loads them, as the data set would."""
    steps = [step for step in node["pipeline"] if bare_name(step["type"]) in LOADING]
    file = annotation_file(node)
    if is_coco(node) and file:
        # The file has told what to check of objects, whose masks take long to draw.
        images = [step for step in steps if bare_name(step["type"]) != "LoadAnnotations"]
        pipeline = Compose([TRANSFORMS.build(step) for step in images])
        watch_sizes(pipeline, file)
        return NamingPipeline(pipeline), described_by(node, file)
    if hasattr(class_of(node), "get_label_map"):
        described = dict(node, pipeline=steps)
        with naming_bad_data(dict(dataset=described)):
            dataset = DATASETS.build(described)
        check_zero_label(dataset, described)
        watch(dataset)
        places = evenly(range(len(dataset)), SAMPLES)
        return dataset.pipeline, [dataset.get_data_info(index) for index in places]
    return dict, []


def check_zero_label(dataset: Dataset, node: dict) -> None:
    """What mmseg meets with an assertion, when the first label map is loaded."""
    loads = (transform(node, "LoadAnnotations") or {}).get("reduce_zero_label")
    if loads is not None and loads != dataset.reduce_zero_label:
        raise InputError(
            f"The data set in {node.get('data_root')} has "
            f"reduce_zero_label={dataset.reduce_zero_label}, and LoadAnnotations of its pipeline "
            f"{loads}: set both alike, or leave it out of the pipeline."
        )


def described_by(node: dict, file: str) -> list[dict]:
    """Of images that are there: a data set may leave out those that are not."""
    prefix = node.get("data_prefix") or {}
    prefix = prefix if isinstance(prefix, str) else prefix.get("img") or ""
    folder = os.path.join(node.get("data_root") or "", prefix)
    described = [
        dict(
            img_path=os.path.join(folder, str(image.get("file_name"))),
            height=image.get("height"),
            width=image.get("width"),
        )
        for image in evenly(read(file)["images"], SAMPLES)
    ]
    return [sample for sample in described if os.path.isfile(sample["img_path"])]


def evenly(items: Sequence, most: int | None) -> Sequence:
    """So many of them, from the first to the last; None for all."""
    if most is None or most >= len(items):
        return items
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, most)]
