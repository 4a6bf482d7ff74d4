"""What comes with the package beside its code: configs, tools and the index of models."""

from difflib import get_close_matches
from pathlib import Path

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
