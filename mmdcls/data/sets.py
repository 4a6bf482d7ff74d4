"""The data sets of a config, as it describes them."""

import os
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, Registry

from mmdcls.config import loader_dataset
from mmdcls.registry import bare_name

# What the config of a data set with files has, and that of a wrapper has not.
OF_FILES = ("ann_file", "data_prefix", "data_root")


def sets_of(cfg: Config, split: str) -> Iterator[tuple[str, dict]]:
    """Each data set of files of a split, within all wrappers, with the dotted key that names it."""
    yield from within(f"{split}_dataloader.dataset", loader_dataset(cfg, split))


def within(path: str, node: object) -> Iterator[tuple[str, dict]]:
    if isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from within(f"{path}.{index}", child)
    elif isinstance(node, dict):
        key = next((key for key in ("datasets", "dataset") if key in node), None)
        if key is None:
            yield path, node
        else:
            yield from within(f"{path}.{key}", node[key])


def found(registry: Registry, kind: object) -> Any:
    """The class or function of a `type` in the default scope; None where there is none."""
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(None) as scoped:
        return scoped.get(kind)


def class_of(node: dict) -> type:
    return found(DATASETS, node.get("type"))


def is_coco(node: dict) -> bool:
    """Whether it is read as mmdet's CocoDataset reads; LVIS and panoptic files are others."""
    kind = class_of(node)
    readers = [getattr(kind, name, None) for name in ("load_data_list", "parse_data_info")]
    return all(getattr(r, "__qualname__", "").startswith("CocoDataset.") for r in readers)


def classes_of(node: dict) -> list[str] | str | None:
    """As the data set will have them; text where the config gives text that names no file."""
    given = (node.get("metainfo") or {}).get("classes")
    if given is None:
        given = (getattr(class_of(node), "METAINFO", None) or {}).get("classes")
    if isinstance(given, str) and os.path.isfile(given):
        with open(given, encoding="utf-8") as file:
            return [line.rstrip("\n\r") for line in file]
    return given if given is None or isinstance(given, str) else list(given)


def annotation_file(node: dict) -> str | None:
    """None where there is none on this machine."""
    file = os.path.join(node.get("data_root") or "", node.get("ann_file") or "")
    return file if node.get("ann_file") and os.path.isfile(file) else None


def transform(node: dict, name: str) -> dict | None:
    """The first transform of this name in the pipeline of a data set."""
    transforms = [t for t in node.get("pipeline") or () if isinstance(t, dict)]
    return next((t for t in transforms if bare_name(t.get("type", "")) == name), None)
