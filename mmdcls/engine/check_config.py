"""What can be known of a config before a Runner is built and a work dir is made."""

import os
from collections.abc import Callable, Iterator, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.utils import get_object_from_string

import mmdcls.models  # noqa: F401  registers what a config can name, as mmdcls.engine does
from mmdcls import registry
from mmdcls.checkpoint.files import Unreadable, read_torch
from mmdcls.errors import InputError
from mmdcls.registry import bare_name

# Bytes of a file in which something other than white space is looked for.
SPACE = 1024


def check_config(cfg: Config, splits: Sequence[str] = ("train", "val")) -> None:
    """Raise InputError for names without their scope and for files that are not there.

    splits: the data loaders that will be used, of "train", "val" and "test".
    """
    check_scopes(cfg)
    if "train" in splits:
        check_precision(cfg)
    for split in splits:
        for path, node in nodes(f"{split}_dataloader.dataset", loader_dataset(cfg, split)):
            check_dataset(path, node)
        for path, node in nodes(f"{split}_evaluator", cfg.get(f"{split}_evaluator")):
            check_path(f"{path}.ann_file", node.get("ann_file"), os.path.isfile)
            check_annotations(f"{path}.ann_file", node)
    # As the person gave it: to a test it is an argument.
    is_test, resumes = "test" in splits, cfg.get("resume")
    given_as = "checkpoint" if is_test else "--resume" if resumes else "load_from"
    check_checkpoint(given_as, cfg.get("load_from"))
    for path, node in nodes("model", cfg.get("model")):
        if node.get("type") in ("Pretrained", "mmengine.Pretrained"):
            check_checkpoint(f"{path}.checkpoint", node.get("checkpoint"))


def check_precision(cfg: Config) -> None:
    kind = (cfg.get("optim_wrapper") or {}).get("type")
    if kind != "AmpOptimWrapper" or torch.accelerator.is_available():
        return
    bfloat16 = ", or optim_wrapper.type=mmdcls.AmpOptimWrapper for bfloat16"
    raise InputError(
        f"optim_wrapper.type={kind!r} trains on GPUs only; on this machine give --cfg-options "
        f"optim_wrapper.type=OptimWrapper{bfloat16 if cfg.get('default_scope') == 'mmseg' else ''}."
    )


def check_scopes(cfg: Config) -> None:
    """Raise InputError for names of ours without their scope, and for unknown ones with it."""
    ours = [item for item in vars(registry).values() if isinstance(item, Registry)]
    ours = [item for item in ours if item.scope == "mmdcls"]
    names = {name for item in ours for name in item.module_dict}
    # Names that mmengine has too, such as AmpOptimWrapper, are right without our scope.
    shared = {name for item in ours for name in item.parent.module_dict}
    for path, node in nodes("", cfg.to_dict()):
        check_names(path, node, names, shared)


def nodes(path: str, node: object) -> Iterator[tuple[str, dict]]:
    """Every dict in the node, with the dotted key that names it for --cfg-options."""
    if isinstance(node, dict):
        yield path, node
        children = node.items()
    elif isinstance(node, (list, tuple)):
        children = enumerate(node)
    else:
        return
    for key, child in children:
        yield from nodes(f"{path}.{key}" if path else str(key), child)


def loader_dataset(cfg: Config, split: str) -> dict | None:
    return (cfg.get(f"{split}_dataloader") or {}).get("dataset")


def check_names(path: str, node: dict, names: set[str], shared: set[str]) -> None:
    for key in ("type", "constructor"):
        name = node.get(key)
        if not isinstance(name, str):
            continue
        where = f"{path}.{key}".lstrip(".")
        if name in names - shared:
            raise InputError(f"{where}={name!r} lacks its scope; write {f'mmdcls.{name}'!r}.")
        scope, _, rest = name.partition(".")
        is_known = rest in names or get_object_from_string(name) is not None
        if scope == "mmdcls" and not is_known:
            raise InputError(f"{where}={name!r} is unknown; mmdcls has {', '.join(sorted(names))}.")


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
    check_annotations(f"{path}.ann_file", node)


def check_annotations(where: str, node: dict) -> None:
    """Refuse JSON of which the beginning or the end is missing, without reading all of it."""
    file = os.path.join(node.get("data_root") or "", node.get("ann_file") or "")
    if not file.endswith(".json") or not os.path.isfile(file):
        return
    with open(file, "rb") as opened:
        start = opened.read(SPACE).strip()[:1]
        opened.seek(-min(SPACE, os.path.getsize(file)), os.SEEK_END)
        ends = start + opened.read().strip()[-1:]
    is_coco = "Coco" in bare_name(node["type"])
    if ends not in ((b"{}",) if is_coco else (b"{}", b"[]")):
        kind = "annotations in COCO's layout" if is_coco else "JSON"
        raise InputError(
            f"{where}={node['ann_file']!r}: {os.path.abspath(file)} does not hold {kind}, or only "
            f"a part of it; write, download or copy it again."
        )


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


def check_checkpoint(where: str, value: str | None) -> None:
    if value == "":
        raise InputError(f"{where}='' names no file; name a checkpoint, or leave it out.")
    check_path(where, value, os.path.isfile)
    if not value or "://" in value:
        return
    try:
        read_torch(value)
    except Unreadable as fault:
        raise InputError(f"{where}={value!r} {fault}; {fault.advice}.") from fault
