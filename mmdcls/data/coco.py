"""Annotation files in COCO's layout: what they lack, and what is passed over in silence."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from mmdcls.config import sets_of
from mmdcls.errors import InputError
from mmdcls.registry import bare_name

from .evaluation import metrics_of
from .findings import Finding, Run
from .sets import annotation_file, classes_of, is_coco, transform

# What mmdet reads of every image and of every object.
IMAGE_KEYS = ("id", "file_name", "height", "width")
OBJECT_KEYS = ("id", "image_id", "category_id", "bbox", "area")
WRITE = dict(iscrowd="0", area="the pixels of its mask, or of its box")
# A polygon has three corners at least.
LEAST_NUMBERS = 6


def check_annotations(run: Run) -> Iterator[Finding]:
    """Of every file of COCO's layout that is read in a split, by data sets and by evaluators."""
    learns_masks = getattr(getattr(run.model, "roi_head", None), "with_mask", False)
    for split in run.splits:
        for path, node in sets_of(run.cfg, split):
            file = annotation_file(node)
            if file is None or not is_coco(node):
                continue
            classes = classes_of(node)
            yield from categories_that_differ(f"{path}.metainfo.classes", file, classes)
            masks = (transform(node, "LoadAnnotations") or {}).get("with_mask", False)
            learned = split == "train" and masks and learns_masks
            yield from faults_of(file, learned)
        for path, metric in metrics_of(run.cfg, split):
            is_read = metric.get("ann_file") and os.path.isfile(metric["ann_file"])
            if is_read and bare_name(metric["type"]) == "CocoMetric":
                yield from faults_of_truth(path, metric)
    read.cache_clear()


@lru_cache(maxsize=1)
def read(file: str) -> dict[str, Any]:
    try:
        with open(file, encoding="utf-8") as opened:
            content = json.load(opened)
    except ValueError as error:
        raise damaged(file, error) from error
    if not isinstance(content, dict) or "images" not in content:
        raise damaged(file, "it is not in COCO's layout")
    return content


def damaged(file: str, fault: object) -> InputError:
    return InputError(
        f"The annotation file {file} is damaged ({fault}); write, download or copy it again."
    )


def categories_that_differ(where: str, file: str, classes: object) -> Iterator[Finding]:
    names = [category.get("name") for category in read(file).get("categories", ())]
    if not isinstance(classes, list):
        return
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        yield Finding(
            f"{file} has the category {twice[0]!r} more than once; name each its own way."
        )
    if unknown := [name for name in classes if name not in names]:
        yield Finding(
            f"{where} has {unknown[0]!r}, which {file} does not know, so that all after it are "
            f"taken for the class before; its categories are {', '.join(map(str, names))}."
        )


def faults_of(file: str, learns_masks: bool = False) -> Iterator[Finding]:
    """What mmdet cannot read, or reads and passes over."""
    content = read(file)
    images, objects = content.get("images", []), content.get("annotations", [])
    yield from missing(file, "image", images, IMAGE_KEYS)
    yield from missing(file, "annotation", objects, OBJECT_KEYS)
    if learns_masks:
        advice = ", and model.roi_head.mask_head learns masks: add it, or take the mask head out"
        yield from missing(file, "annotation", objects, ("segmentation",), advice)
    categories = {c.get("id"): c.get("name") for c in content.get("categories", ())}
    listed = ", ".join(f"{key} {name}" for key, name in categories.items())
    for key, count in Counter(o.get("category_id") for o in objects).items():
        if key not in categories:
            yield Finding(
                f"{file} has {count} annotations of category_id {key}, which is not among its "
                f"categories ({listed}); they are not used."
            )
    reasons = Counter(filter(None, map(why_unused, objects)))
    for reason, count in reasons.items():
        some = "all" if count == len(objects) else str(count)
        yield Finding(
            f"Of {len(objects)} annotations in {file} {some} have {reason} and are not used.",
            is_wrong=reasons.total() == len(objects),
        )


def why_unused(annotation: dict) -> str | None:
    _, _, width, height = annotation.get("bbox") or (0, 0, 1, 1)
    if annotation.get("area", 1) <= 0:
        return "an area of 0 or less"
    return "a box thinner than a pixel" if min(width, height) < 1 else None


def missing(
    file: str, kind: str, items: Iterable[dict], keys: Sequence[str], advice: str = ""
) -> Iterator[Finding]:
    for key in keys:
        lacking = [item for item in items if key not in item]
        if lacking:
            first = lacking[0].get("id", lacking[0].get("file_name", "without an id"))
            mend = advice or (f"; write {WRITE[key]}" if key in WRITE else "; add it")
            yield Finding(f"{file}: {kind} {first} has no {key}{mend}.")


def faults_of_truth(path: str, metric: dict) -> Iterator[Finding]:
    """What COCO's evaluation cannot read, or counts wrongly."""
    file = metric["ann_file"]
    objects = read(file).get("annotations", [])
    yield from missing(file, "annotation", objects, ("iscrowd",))
    if any(annotation.get("id") == 0 for annotation in objects):
        yield Finding(
            f"{file} has an annotation of id 0, which COCO's evaluation takes for not found, so "
            f"that AP comes out too low; count ids from 1.",
            is_wrong=False,
        )
    kinds = metric.get("metric", "bbox")
    if "segm" not in ([kinds] if isinstance(kinds, str) else kinds):
        return
    yield from missing(file, "annotation", objects, ("segmentation",), f", which {path} compares")
    for annotation in objects:
        shape = annotation.get("segmentation")
        polygons = shape if isinstance(shape, list) else []
        if short := [len(polygon) for polygon in polygons if len(polygon) < LEAST_NUMBERS]:
            yield Finding(
                f"{file}: annotation {annotation.get('id')} has a polygon of {short[0]} "
                f"numbers, where {LEAST_NUMBERS} or more are needed (a box?); write its corners."
            )
            return
