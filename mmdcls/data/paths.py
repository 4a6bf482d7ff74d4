"""Files and folders that the config of a data set or of an evaluator names."""

import os
from collections.abc import Callable, Iterator, Sequence

from mmengine.config import Config

from mmdcls.config import nodes, sets_of
from mmdcls.errors import InputError


def check_paths(cfg: Config, splits: Sequence[str]) -> None:
    """Raise one InputError for all data sets and annotation files that are not there."""
    faults = []
    for split in splits:
        for path, node in sets_of(cfg, split):
            faults += faults_of_dataset(path, node)
        for path, node in nodes(f"{split}_evaluator", cfg.get(f"{split}_evaluator")):
            faults.append(fault_of_path(f"{path}.ann_file", node.get("ann_file"), os.path.isfile))
    if found := list(filter(None, faults)):
        raise InputError("\n".join(found))


def faults_of_dataset(path: str, node: dict) -> Iterator[str | None]:
    """Of a dict that describes a data set in files of this machine, look at what it names."""
    if node.get("backend_args") or "pipeline" not in node:
        return
    root = node.get("data_root") or ""
    if fault := fault_of_path(f"{path}.data_root", root, os.path.isdir):
        # What lies in it is not there either.
        yield fault
        return
    prefix = node.get("data_prefix") or {}
    if isinstance(prefix, str):
        yield fault_of_path(f"{path}.data_prefix", prefix, os.path.isdir, root)
        prefix = {}
    for key, folder in prefix.items():
        # Without LoadAnnotations, as in a test without truth, label maps need not be there.
        needed = key != "seg_map_path" or "LoadAnnotations" in str(node["pipeline"])
        if needed and isinstance(folder, str):
            yield fault_of_path(f"{path}.data_prefix.{key}", folder, os.path.isdir, root)
    yield fault_of_path(f"{path}.ann_file", node.get("ann_file"), os.path.exists, root)


def check_path(where: str, value: str | None, is_there: Callable[[str], bool]) -> None:
    """Raise InputError for what is not there."""
    if fault := fault_of_path(where, value, is_there):
        raise InputError(fault)


def fault_of_path(
    where: str, value: str | None, is_there: Callable[[str], bool], root: str = ""
) -> str | None:
    kind = "folder" if is_there is os.path.isdir else "file"
    if value is not None and not isinstance(value, str):
        return f"{where}={value!r} must be the path of a {kind}, as text."
    if not value or "://" in value or "://" in root or is_there(os.path.join(root, value)):
        return None
    found = os.path.abspath(os.path.join(root, value))
    advice = f"give its place by --cfg-options {where}=PATH" if "." in where else "name another"
    return f"{where}={value!r}: there is no {kind} {found}; put the {kind} there, or {advice}."
