"""A wheel stands alone: it has configs and tools, and trains and predicts without a clone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config

from helpers import synthetic
from helpers.catalogue import leaf_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# Beside the sources, in a clone that is in use.
NOT_SOURCES = {".git", "work_dirs", "data", "build", "dist"}
SDIST = "from setuptools.build_meta import build_sdist; build_sdist({folder!r})"
INSIDE = "mmdcls/.mim/"
LEAF = leaf_of("upernet", "tiny_")


def run(*command: object, folder: Path) -> str:
    """What a command prints, started where nothing leads to the clone."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**own, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def build_wheel(sources: Path, folder: Path) -> Path:
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    run(sys.executable, "-m", "pip", "wheel", *flags, sources, folder=sources.parent)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy of the clone, in which building leaves its files."""
    copy = tmp_path_factory.mktemp("sources") / "mmdcls"

    def passed_over(folder: str, names: list[str]) -> set[str]:
        if Path(folder) != ROOT:
            return {"__pycache__"} & set(names)
        hidden = {name for name in names if name.startswith((".venv", "mmdcls.egg"))}
        return hidden | NOT_SOURCES & set(names)

    shutil.copytree(ROOT, copy, ignore=passed_over, symlinks=True)
    # What an earlier build had and the sources have no longer.
    old = copy / "build/lib/mmdcls/.mim/configs/old.py"
    old.parent.mkdir(parents=True)
    old.touch()
    return copy


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    return build_wheel(sources, tmp_path_factory.mktemp("wheel"))


def content(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist()}


def test_a_wheel_has_what_the_folders_have(wheel):
    shipped = {
        path.relative_to(ROOT).as_posix()
        for folder in ("configs", "tools")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    # Models of projects would find no config there.
    shipped |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob("models/cells.*")}
    found = content(wheel)
    inside = {name.removeprefix(INSIDE) for name in found if name.startswith(INSIDE)}
    assert inside == {*shipped, "model-index.yml"}
    assert "mmdcls/py.typed" in found
    assert not {name.partition("/")[0].partition("-")[0] for name in found} - {"mmdcls"}
    with zipfile.ZipFile(wheel) as archive:
        script = archive.getinfo(f"{INSIDE}tools/dist_train.sh")
    assert script.external_attr >> 16 & 0o111


def test_a_wheel_of_the_sdist_is_the_same(sources, wheel, tmp_path):
    run(sys.executable, "-c", SDIST.format(folder=str(tmp_path)), folder=sources)
    (sdist,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert content(build_wheel(unpacked, tmp_path / "again")) == content(wheel)


@pytest.fixture(scope="module")
def commands(wheel, tmp_path_factory) -> Path:
    """The commands of an environment with the wheel, and all else from the one of the tests."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(environment)
    python = environment / "bin/python"
    flags = ["--quiet", "--no-deps", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "--python", python, "install", *flags]
    run(*pip, wheel, folder=environment)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    # A path alone: the .pth files in that folder, such as of an editable installation, stay unread.
    (site_packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin"


def test_the_wheel_lists_copies_trains_and_predicts(commands, tmp_path):
    def mmdcls(*arguments: object) -> str:
        return run(commands / "mmdcls", *arguments, folder=tmp_path)

    where = "import mmdcls; print(mmdcls.__file__)"
    imported = run(commands / "python", "-c", where, folder=tmp_path)
    assert imported.startswith(str(commands.parent)), imported
    assert LEAF.stem in mmdcls("list", "upernet")
    assert "mmdcls predict --model cells" in mmdcls("list", "demo")
    mmdcls("predict", "--model", "cells", "--out", "at_once")
    assert {path.name for path in tmp_path.glob("at_once/*")} == {"cells.png", "cells_drawn.jpg"}
    cfg = Config.fromfile(LEAF)
    small = {
        **synthetic.write_data(cfg, tmp_path / "data"),
        **synthetic.in_process(),
        **synthetic.thin_model(cfg),
        **synthetic.few_iterations(cfg),
    }
    mmdcls("config", LEAF.stem, "-o", "mine.py", "--cfg-options", *synthetic.written(small))
    base = f"_base_ = __import__('mmdcls').config_path({LEAF.stem!r})\n"
    (tmp_path / "child.py").write_text(base)
    assert LEAF.stem not in mmdcls("config", "child.py")
    assert "mIoU" in mmdcls("train", "mine.py")
    cv2.imwrite(str(tmp_path / "image.png"), next(synthetic.images()))
    trained = f"work_dirs/mine/iter_{synthetic.ITERATIONS}.pth"
    mmdcls("predict", "mine.py", trained, "image.png")
    assert list((tmp_path / "predictions").rglob("image*"))
