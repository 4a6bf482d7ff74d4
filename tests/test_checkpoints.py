"""A checkpoint is there whole or not at all, and the newest whole one is resumed from."""

import errno
import os
import pickle
import resource
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from provocations import STRANGER, Trial, expect, new_trial

from mmdcls.engine import check_config
from mmdcls.engine.whole_checkpoint import newest_whole, part_of, read_checkpoint
from mmdcls.errors import InputError

TEMPLATE = "iter_{}.pth"


class Code:
    def __reduce__(self):
        return print, ("run on load",)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "nothing of torch")


def short_pickle(path: Path) -> None:
    torch.save(STRANGER, path, _use_new_zipfile_serialization=False)
    cut_in_half(path)


# What is wrong with a file -> how it comes about, and words of what is said of it.
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "truncated": (cut_in_half, "is only a part of a checkpoint"),
    "truncated, torch < 1.6": (short_pickle, "or a damaged one"),
    "text": (lambda path: path.write_text("version https://git-lfs"), "is no checkpoint of torch"),
    "zip of others": (other_zip, "is no checkpoint of torch"),
    "pickle of others": (lambda path: path.write_bytes(pickle.dumps([1])), "no checkpoint"),
    "code": (lambda path: torch.save(dict(a=Code()), path), "holds more than weights (builtins."),
    "tensor": (lambda path: torch.save(torch.zeros(3), path), "holds no weights"),
}
DAMAGED = pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)


def train_to(trial: Trial, iterations: int, *flags: str) -> None:
    trial.merge({"train_cfg.max_iters": iterations})
    trial.run("train", *flags)


def log_of(trial: Trial) -> str:
    return max(trial.work_dir.rglob("*.log")).read_text()


def iterations_in(folder: Path) -> set[int]:
    """The iterations of all checkpoints; all must be whole."""
    return {read_checkpoint(path)["meta"]["iter"] for path in folder.glob("*.pth")}


@pytest.fixture(scope="module")
def three_saved(tmp_path_factory) -> Trial:
    trial = new_trial("seg", tmp_path_factory.mktemp("three_saved"))
    train_to(trial, 3)
    assert iterations_in(trial.work_dir) == {1, 2, 3}
    return trial


@pytest.fixture
def trial(three_saved: Trial, tmp_path: Path) -> Trial:
    shutil.copytree(three_saved.work_dir, tmp_path / "work")
    shutil.copytree(three_saved.data, tmp_path / "data")
    (tmp_path / "work" / "last_checkpoint").write_text(str(tmp_path / "work" / "iter_3.pth"))
    cfg = Config.fromstring(three_saved.cfg.dump().replace(str(three_saved.folder), str(tmp_path)), ".py")
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name
    return Trial("seg", tmp_path, cfg)


class Watcher:
    """Looks at a folder before every operation on a file that Python reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.on = self.busy = False
        self.looks, self.saved, self.offences = 0, False, []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.on and not self.busy and event in ("open", "os.rename", "os.remove"):
            self.look()

    def look(self) -> None:
        self.busy = True
        try:
            whole = [path for path in self.folder.glob("iter_*.pth") if self.is_whole(path)]
            best = [path for path in self.folder.glob("best*.pth") if self.is_whole(path)]
            self.saved |= bool(whole and best)
            if self.saved and not (whole and best):
                self.offences.append("the last whole one is gone")
            marker = self.folder / "last_checkpoint"
            if marker.is_file() and not self.is_whole(Path(marker.read_text())):
                self.offences.append(f"{marker} marks none that is whole")
            self.looks += 1
        finally:
            self.busy = False

    def is_whole(self, path: Path) -> bool:
        try:
            read_checkpoint(path)
        except ValueError as fault:
            self.offences.append(f"{path} {fault}")
            return False
        return True


@pytest.mark.parametrize("hook", ["mmdcls.CheckpointHook", "mmengine.CheckpointHook"])
def test_at_every_moment_a_whole_checkpoint_is_there_and_none_in_part(hook, tmp_path, monkeypatch):
    """mmengine's own hook offends, so the watcher can see."""
    trial = new_trial("seg", tmp_path)
    options = dict(type=hook, by_epoch=False, interval=1, max_keep_ckpts=1)
    # The learning rate's direction makes each a new best: the least accuracy, falling or not.
    trial.cfg.default_hooks.checkpoint = dict(options, save_best="aAcc", rule="less")
    watcher = Watcher(trial.work_dir)

    def put(backend: LocalBackend, content: bytes, path: str) -> None:
        with open(path, "wb") as file:
            half = len(content) // 2
            file.write(content[:half])
            file.flush()
            watcher.look()
            file.write(content[half:])

    monkeypatch.setattr(LocalBackend, "put", put)
    watcher.on = True
    train_to(trial, 3)
    watcher.on = False
    assert watcher.looks > 10 and watcher.saved
    assert bool(watcher.offences) == (hook == "mmengine.CheckpointHook"), watcher.offences
    assert iterations_in(trial.work_dir) == {3} | iterations_in_best(trial)
    assert not list(trial.work_dir.glob(".*.part"))


def iterations_in_best(trial: Trial) -> set[int]:
    (best,) = trial.work_dir.glob("best*.pth")
    return {read_checkpoint(best)["meta"]["iter"]}
