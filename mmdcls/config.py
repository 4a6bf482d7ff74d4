"""Configs, read in one way by every command, and what is found in them."""

import argparse
import os
import traceback
from collections.abc import Iterator
from difflib import get_close_matches

from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS, init_default_scope
from mmengine.utils import get_object_from_string

from mmdcls.errors import InputError
from mmdcls.registry import bare_name, find, registered
from mmdcls.shipped import config_path

# What mmengine says of `_base_ = "mmdcls::..."`: its list of packages is closed.
OWN_SCHEME = "does not support to load mmdcls config"


class Options(DictAction):
    """mmengine's, which takes the spaces out of paths."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values:
            if "=" not in value:
                parser.error(f"{option_string} {value}: write KEY=VALUE, without spaces around =")
        try:
            super().__call__(parser, namespace, values, option_string)
        # What mmengine's reader raises for dicts and for brackets that do not close.
        except (AssertionError, RecursionError, ValueError):
            parser.error(
                f"{option_string} {' '.join(values)}: cannot be read; write lists as key=a,b or "
                f"'key=[(a,b),(c,d)]', and every key of a dict by itself, as key.inner=value"
            )

    @staticmethod
    def _parse_iterable(val: str) -> object:
        is_path = "/" in val and not set(val) & set(",()[]")
        return val.strip("'\"") if is_path else DictAction._parse_iterable(val)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=Options,
        default={},
        metavar="KEY=VALUE",
        help="override settings of the config; lists as key=a,b or 'key=[(a,b),(c,d)]'",
    )


def read_config(path: str, options: dict | None = None) -> Config:
    """As `config_at`; the config's scope becomes the default one."""
    cfg = config_at(path, options)
    init_default_scope(cfg.get("default_scope", "mmengine"))
    return cfg


def config_at(path: str, options: dict | None = None) -> Config:
    """The config of a model with what --cfg-options say.

    path: of a file, or else the name of a config that comes with mmdcls.

    Raises InputError for a file that is not there or is no config, for options that it has no
    place for, and for names without their scope.
    """
    if not os.path.isfile(path):
        path = config_path(path)
    try:
        cfg = Config.fromfile(path)
    # A config is a program, and raises anything.
    except Exception as error:
        remedy = "correct it"
        if OWN_SCHEME in str(error):
            remedy = 'write _base_ = __import__("mmdcls").config_path("FOLDER/NAME.py")'
        raise InputError(f"{path} is not a config ({reason_of(error)}); {remedy}.") from error
    options = with_checkpoint(cfg, options or {})
    check_spelling(cfg, options)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError) as error:
        raise InputError(no_place(cfg, options) or one_line(error)) from error
    if not isinstance(cfg.get("model"), dict):
        raise InputError(f"The config {path} has no model; give the config of a model.")
    check_scopes(cfg)
    return cfg


def with_checkpoint(cfg: Config, options: dict) -> dict:
    """The options, with what checkpoint_file=... means in them.

    A config's own mentions of checkpoint_file are read before any option is there. Raises
    InputError where the model does not mention it.
    """
    if "checkpoint_file" not in options:
        return options
    given, named = options["checkpoint_file"], cfg.get("checkpoint_file")
    meant = {}
    for path, node in nodes("model", cfg.get("model")):
        if named and node.get("checkpoint") == named:
            meant |= {f"{path}.checkpoint": given} if given else {path: None}
    if not meant:
        raise InputError(
            "--cfg-options checkpoint_file: the config's model does not start from it; give "
            "model.backbone.init_cfg.type=mmdcls.Pretrained and "
            "model.backbone.init_cfg.checkpoint=FILE."
        )
    return meant | options


def check_spelling(cfg: Config, options: dict) -> None:
    """Raise InputError for a key that is all but one of the config: mmengine would add it."""
    for option in options:
        first = option.partition(".")[0]
        close = get_close_matches(first, cfg.keys(), n=1, cutoff=0.9)
        if first not in cfg and close:
            raise InputError(f"--cfg-options {option}: the config has no {first}, but {close[0]}.")


def reason_of(error: Exception) -> str:
    """What a config raised, and in which of its lines where that is known."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"line {last.lineno}: " if last.name == "<module>" else ""
    kind = "" if isinstance(error, (OSError, SyntaxError)) else f"{type(error).__name__}: "
    return f"{where}{kind}{one_line(error)}"


def one_line(error: Exception) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(text).split())


def no_place(cfg: Config, options: dict) -> str | None:
    """A sentence for the first option below something that has nothing below it."""
    for option in options:
        node, path = cfg.to_dict(), []
        for key in option.split("."):
            if not isinstance(node, (dict, list, tuple)):
                where = ".".join(path)
                return (
                    f"--cfg-options {option}: {where} is {node!r} in the config, and has no "
                    f"{key}; to give all of it anew, add {where}._delete_=True."
                )
            path.append(key)
            if isinstance(node, dict):
                node = node.get(key, {})
            elif key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            else:
                where = ".".join(path[:-1])
                return (
                    f"--cfg-options {option}: {where} is a list of {len(node)} in the config; "
                    f"name one of them by its number, from {where}.0 on."
                )
    return None


def check_scopes(cfg: Config) -> None:
    """Raise InputError for names of ours without their scope, and for unknown ones with it."""
    names = registered()
    # Names that mmengine has too, such as AmpOptimWrapper, are right without our scope.
    shared = {name for name, registry in names.items() if name in registry.parent.module_dict}
    for path, node in nodes("", cfg.to_dict()):
        check_names(path, node, set(names), shared)


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


def without_pretrained(cfg: Config) -> Config:
    """The config, changed, with a model that loads nothing while it is built.

    For whoever fills the model afterwards, or asks for its shapes only.
    """
    for _, node in nodes("model", cfg.model):
        kind = node.get("network") or node.get("type")
        if isinstance(kind, str) and bare_name(kind) == "TIMMBackbone":
            node["pretrained"] = False
    return cfg


def loader_dataset(cfg: Config, split: str) -> dict | None:
    return (cfg.get(f"{split}_dataloader") or {}).get("dataset")


def sets_of(cfg: Config, split: str) -> list[tuple[str, dict]]:
    """Each data set of files of a split, within all wrappers, with the dotted key that names it."""
    return list(sets_within(f"{split}_dataloader.dataset", loader_dataset(cfg, split)))


def sets_within(path: str, node: object) -> Iterator[tuple[str, dict]]:
    if isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from sets_within(f"{path}.{index}", child)
    elif isinstance(node, dict):
        key = next((key for key in ("datasets", "dataset") if key in node), None)
        if key is None:
            yield path, node
        else:
            yield from sets_within(f"{path}.{key}", node[key])


def metainfo_of(node: dict) -> dict:
    """What a data set of a config says of its classes, without its files."""
    kind = find(DATASETS, node.get("type"))
    if not hasattr(kind, "_load_metainfo"):
        return {}
    own, known = node.get("metainfo") or {}, kind.METAINFO
    meta = kind._load_metainfo(own)
    colours = dict(zip(known.get("classes") or (), known.get("palette") or (), strict=False))
    classes = meta.get("classes") or ()
    if "palette" not in own and colours.keys() >= set(classes):
        meta["palette"] = [colours[name] for name in classes]
    return meta


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
