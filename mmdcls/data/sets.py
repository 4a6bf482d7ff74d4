"""The data sets of a config, as it describes them."""

import os

from mmengine.registry import DATASETS

from mmdcls.config import metainfo_of
from mmdcls.registry import bare_name, find

# What the config of a data set with files has, and that of a wrapper has not.
OF_FILES = ("ann_file", "data_prefix", "data_root")


def class_of(node: dict) -> type:
    return find(DATASETS, node.get("type"))


def is_coco(node: dict) -> bool:
    """Whether it is read as mmdet's CocoDataset reads; LVIS and panoptic files are others."""
    kind = class_of(node)
    readers = [getattr(kind, name, None) for name in ("load_data_list", "parse_data_info")]
    return all(getattr(r, "__qualname__", "").startswith("CocoDataset.") for r in readers)


def classes_of(node: dict) -> list[str] | str | None:
    """As the data set will have them; text where the config gives text that names no file."""
    classes = metainfo_of(node).get("classes")
    return classes if classes is None or isinstance(classes, str) else list(classes)


def annotation_file(node: dict) -> str | None:
    """None where there is none on this machine."""
    file = os.path.join(node.get("data_root") or "", node.get("ann_file") or "")
    return file if node.get("ann_file") and os.path.isfile(file) else None


def transform(node: dict, name: str) -> dict | None:
    """The first transform of this name in the pipeline of a data set."""
    transforms = [t for t in node.get("pipeline") or () if isinstance(t, dict)]
    return next((t for t in transforms if bare_name(t.get("type", "")) == name), None)
