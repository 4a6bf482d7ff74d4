"""Files and folders that the config of a data set or of an evaluator names."""

import os
from collections.abc import Callable, Sequence

from mmengine.config import Config

from mmdcls.config import nodes, sets_of
from mmdcls.errors import InputError


def check_paths(cfg: Config, splits: Sequence[str]) -> None:
    """Raise InputError for data sets and annotation files that are not there."""
    for split in splits:
        for path, node in sets_of(cfg, split):
            check_dataset(path, node)
        for path, node in nodes(f"{split}_evaluator", cfg.get(f"{split}_evaluator")):
            check_path(f"{path}.ann_file", node.get("ann_file"), os.path.isfile)


def check_dataset(path: str, node: dict) -> None:
    """Of a dict that describes a data set in files of this machine, look at what it names."""
    if node.get("backend_args") or "pipeline" not in node:
        return
    root = node.get("data_root") or ""
    check_path(f"{path}.data_root", root, os.path.isdir)
    prefix = node.get("data_prefix") or {}
    if isinstance(prefix, str):
        check_path(f"{path}.data_prefix", prefix, os.path.isdir, root)
        prefix = {}
    for key, folder in prefix.items():
        # Without LoadAnnotations, as in a test without truth, label maps need not be there.
        needed = key != "seg_map_path" or "LoadAnnotations" in str(node["pipeline"])
        if needed and isinstance(folder, str):
            check_path(f"{path}.data_prefix.{key}", folder, os.path.isdir, root)
    check_path(f"{path}.ann_file", node.get("ann_file"), os.path.exists, root)


def check_path(
    where: str, value: str | None, is_there: Callable[[str], bool], root: str = ""
) -> None:
    kind = "folder" if is_there is os.path.isdir else "file"
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}={value!r} must be the path of a {kind}, as text.")
    if not value or "://" in value or "://" in root or is_there(os.path.join(root, value)):
        return
    found = os.path.abspath(os.path.join(root, value))
    advice = f"give its place by --cfg-options {where}=PATH" if "." in where else "name another"
    raise InputError(
        f"{where}={value!r}: there is no {kind} {found}; put the {kind} there, or {advice}."
    )
