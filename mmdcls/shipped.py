"""What comes with the package beside its code: configs, trained models, tools."""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from mmdcls.errors import InputError

PACKAGE = Path(__file__).resolve().parent


def shipped() -> Path:
    """The folder that holds them: `.mim` within the package, or the root of a clone.

    A wheel has `.mim`, where OpenMMLab's tools look as well; setup.py copies it there.
    """
    inside = PACKAGE / ".mim"
    return inside if inside.is_dir() else PACKAGE.parent


def leaves() -> list[Path]:
    """Every config of a model, without the parts that they are made of."""
    configs = shipped() / "configs"
    found = configs.glob("*/*.py")
    return sorted(path for path in found if path.parent.name != "_base_")


def config_path(name: str) -> str:
    """Where a config that comes with mmdcls lies, for `_base_` and for programs.

    name: a path in `configs`, such as "upernet/NAME.py" or "_base_/models/NAME.py", or only the
        name of a config of a model; `.py` may be left out.

    A config, wherever it lies and whichever program reads it, inherits by

        _base_ = __import__("mmdcls").config_path("upernet/NAME.py")

    mmengine evaluates this expression by itself, before the rest of the file is there, so nothing
    that the file imports can stand in it. Raises InputError where there is no such config.
    """
    configs = shipped() / "configs"
    if not configs.is_dir():
        raise InputError(f"There is no {configs}; install mmdcls again, a wheel or a clone.")
    bare = name.removesuffix(".py")
    inside = (configs / f"{bare}.py").resolve()
    if inside.is_relative_to(configs.resolve()) and inside.is_file():
        return str(inside)
    named = {path.stem: path for path in leaves()}
    if bare in named:
        return str(named[bare])
    close = get_close_matches(Path(bare).name, named, n=1, cutoff=0.5)
    nearest = f"; the nearest is {close[0]}" if close else ""
    raise InputError(
        f"There is no config {name}, neither a file nor one that comes with mmdcls{nearest}. "
        f"`mmdcls list` shows them all."
    )


class Model(NamedTuple):
    """A trained model that comes with mmdcls; example: an image such as it knows."""

    config: Path
    weights: Path
    example: Path


def models() -> dict[str, Model]:
    """By name, those whose config is one of `configs`: a clone has models of projects as well."""
    found = {}
    for weights in sorted((shipped() / "models").glob("*.safetensors")):
        config = shipped() / config_named(weights)
        if config.is_relative_to(shipped() / "configs"):
            found[weights.stem] = Model(config, weights, weights.with_suffix(".png"))
    return found


def config_named(weights: Path) -> str:
    """The config that a file of safetensors by tools/publish_models.py says it is trained from."""
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        says = json.loads(file.read(size))["__metadata__"]["mmdcls"]
    return json.loads(says)["config"]


def model_named(name: str) -> Model:
    """Raises InputError, which says what there is."""
    known = models()
    if name not in known:
        raise InputError(
            f"There is no model {name} that comes with mmdcls; there is {', '.join(known)}. With a "
            f"model of your own give CONFIG and CHECKPOINT."
        )
    return known[name]
