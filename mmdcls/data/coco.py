"""Annotation files in COCO's layout: what they lack, and what is passed over in silence."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from mmdcls.config import sets_of
from mmdcls.errors import InputError
from mmdcls.registry import bare_name

from .coco_files import read
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
            with_mask = (transform(node, "LoadAnnotations") or {}).get("with_mask", False)
            learned = split == "train" and with_mask and learns_masks
            classes = classes_of(node)
            yield from told(file, categories_that_differ, f"{path}.metainfo.classes", classes)
            yield from told(file, faults_of, classes, learned)
        for path, metric in metrics_of(run.cfg, split):
            is_read = metric.get("ann_file") and os.path.isfile(metric["ann_file"])
            if is_read and bare_name(metric["type"]) == "CocoMetric":
                yield from told(metric["ann_file"], faults_of_truth, path, metric)


def told(file: str, check: Callable[..., Iterator[Finding]], *arguments) -> list[Finding]:
    """What a check finds in a file, whose values may be of any kind."""
    try:
        return list(check(file, *arguments))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{type(error).__name__}: {error}"
        return [Finding(f"{file} has a value that COCO's layout has not ({reason}); correct it.")]


def categories_that_differ(file: str, where: str, classes: object) -> Iterator[Finding]:
    names = [category.get("name") for category in read(file).get("categories", ())]
    listed = ", ".join(map(str, names)) or "none"
    if not isinstance(classes, list):
        return
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        yield Finding(
            f"{file} has the category {twice[0]!r} more than once; name each its own way."
        )
    elif unknown := [name for name in classes if name not in names]:
        yield Finding(
            f"{where} has {unknown[0]!r}, which {file} does not know, so that all after it are "
            f"taken for the class before; its categories are {listed}."
        )
    elif (order := [name for name in names if name in classes]) != classes:
        yield Finding(
            f"{where} has another order than the categories of {file}, by which classes are "
            f"numbered, so that they get each other's names; write {tuple(order)}."
        )


def faults_of(file: str, classes: object, learns_masks: bool) -> Iterator[Finding]:
    """What mmdet cannot read, or reads and passes over."""
    content = read(file)
    images = {image["id"]: image for image in content["images"] if "id" in image}
    yield from missing(file, "image", content["images"], IMAGE_KEYS)
    objects = [one for one in content.get("annotations", ()) if not one.get("ignore")]
    yield from missing(file, "annotation", objects, OBJECT_KEYS)
    categories = {c.get("id"): c.get("name") for c in content.get("categories", ())}
    listed = ", ".join(f"{key} {name}" for key, name in categories.items())
    for key, count in Counter(one.get("category_id") for one in objects).items():
        if key not in categories:
            yield Finding(
                f"{file} has {count} annotations of category_id {key}, which is not among its "
                f"categories ({listed}); they are not used."
            )
    chosen = categories.keys()
    if isinstance(classes, list):
        chosen = {key for key, name in categories.items() if name in classes}
    objects = [one for one in objects if one.get("category_id") in chosen]
    if learns_masks:
        advice = ", and model.roi_head.mask_head learns masks: add it, or take the mask head out"
        yield from missing(file, "annotation", objects, ("segmentation",), advice)
    reasons = Counter(why_unused(one, images) for one in objects)
    used = reasons.pop(None, 0)
    for reason, count in reasons.items():
        some = "all" if count == len(objects) else str(count)
        yield Finding(
            f"Of {len(objects)} annotations in {file} {some} have {reason} and are not used.",
            is_wrong=used == 0,
        )
    beyond = [one for one in objects if reaches_beyond(one, images)]
    if 2 * len(beyond) > len(objects):
        example = f"{beyond[0]['bbox']} of annotation {beyond[0].get('id')}"
        yield Finding(
            f"Of {len(objects)} annotations in {file} {len(beyond)} have a box that reaches beyond "
            f"its image, such as {example}; boxes are left, top, width and height, and the file "
            f"must tell the height and width of every image as they are."
        )


def why_unused(annotation: dict, images: dict) -> str | None:
    left, top, width, height = annotation.get("bbox") or (0, 0, 1, 1)
    image = images.get(annotation.get("image_id"))
    if image is None:
        return "the image_id of no image"
    if annotation.get("area", 1) <= 0:
        return "an area of 0 or less"
    if min(width, height) < 1:
        return "a box thinner than a pixel"
    inside = left < image.get("width", 1 + left) and top < image.get("height", 1 + top)
    return None if inside and min(left + width, top + height) > 0 else "a box outside its image"


def reaches_beyond(annotation: dict, images: dict) -> bool:
    left, top, width, height = annotation.get("bbox") or (0, 0, 0, 0)
    image = images.get(annotation.get("image_id"), {})
    # Room for rounding.
    right, bottom = image.get("width", math.inf) + 1, image.get("height", math.inf) + 1
    return left + width > right or top + height > bottom


def missing(
    file: str, kind: str, items: Iterable[dict], keys: Sequence[str], advice: str = ""
) -> Iterator[Finding]:
    for key in keys:
        lacking = [item for item in items if key not in item]
        if lacking:
            first = lacking[0].get("id", lacking[0].get("file_name", "without an id"))
            mend = advice or (f"; write {WRITE[key]}" if key in WRITE else "; add it")
            yield Finding(f"{file}: {kind} {first} has no {key}{mend}.")


def faults_of_truth(file: str, path: str, metric: dict) -> Iterator[Finding]:
    """What COCO's evaluation cannot read, or counts wrongly."""
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
