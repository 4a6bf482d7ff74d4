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
from mmengine.hooks import CheckpointHook as MmengineCheckpointHook
from mmengine.visualization import LocalVisBackend

from helpers.provocations import STRANGER, Trial, expect, new_trial
from mmdcls.checkpoint.files import read_torch
from mmdcls.checkpoint.whole import newest_whole, part_of
from mmdcls.errors import InputError
from mmdcls.running.check_config import check_config

TEMPLATE = "iter_{}.pth"


class Code:
    def __reduce__(self):
        return print, ("run on load",)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """In the weights, where nothing but the checksum tells."""
    with zipfile.ZipFile(path) as archive:
        (part,) = (part for part in archive.infolist() if part.filename.endswith("data/0"))
    content, start = bytearray(path.read_bytes()), part.header_offset
    lengths = (int.from_bytes(content[start + at : start + at + 2], "little") for at in (26, 28))
    content[start + 30 + sum(lengths)] ^= 1
    path.write_bytes(content)


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
    "a flipped bit": (flip, "is damaged ("),
    "code": (lambda path: torch.save(dict(a=Code()), path), "holds more than weights ("),
    "tensor": (lambda path: torch.save(torch.zeros(3), path), "holds a Tensor and no weights"),
}
DAMAGED = pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)


def train_to(trial: Trial, iterations: int, *flags: str) -> None:
    trial.merge({"train_cfg.max_iters": iterations})
    trial.run("train", *flags)


def log_of(trial: Trial) -> str:
    return max(trial.work_dir.rglob("*.log")).read_text()


def iterations_in(folder: Path) -> set[int]:
    """The iterations of all checkpoints; all must be whole."""
    return {read_torch(path)["meta"]["iter"] for path in folder.glob("*.pth")}


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
    cfg = Config.fromstring(
        three_saved.cfg.dump().replace(str(three_saved.folder), str(tmp_path)), ".py"
    )
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name
    return Trial("seg", tmp_path, cfg)


class Watcher:
    """Looks at a folder before every operation on a file that Python reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.on = self.busy = False
        self.known_whole: set[tuple] = set()
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
        facts = path.stat() if path.exists() else None
        state = facts and (path, facts.st_ino, facts.st_mtime_ns, facts.st_size)
        if state in self.known_whole:
            return True
        try:
            read_torch(path)
            self.known_whole.add(state)
        except ValueError as fault:
            self.offences.append(f"{path} {fault}")
            return False
        return True


@pytest.mark.parametrize("hook", ["mmdcls.CheckpointHook", "mmengine.CheckpointHook"])
def test_at_every_moment_a_whole_checkpoint_is_there_and_none_in_part(hook, tmp_path, monkeypatch):
    """mmengine's own hook offends, so the watcher can see."""
    trial = new_trial("seg", tmp_path)
    options = dict(type=hook, by_epoch=False, interval=1, max_keep_ckpts=1)
    trial.cfg.default_hooks.checkpoint = dict(options, save_best="aAcc", rule="less")
    # Every checkpoint is a new best one.
    monkeypatch.setitem(MmengineCheckpointHook.rule_map, "less", lambda new, old: True)
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
    assert iterations_in(trial.work_dir) == {3}
    assert len(list(trial.work_dir.glob("*.pth"))) == 2
    assert not list(trial.work_dir.glob(".*.part"))


@DAMAGED
def test_a_damaged_checkpoint_that_is_asked_for_is_refused(damage, words, tmp_path):
    path = tmp_path / "given.pth"
    torch.save(STRANGER, path)
    damage(path)
    with pytest.raises(InputError) as refused:
        check_config(Config(dict(load_from=str(path))))
    sentence = str(refused.value)
    expect(("load_from=", "given.pth", words), sentence)
    assert any(advice in sentence for advice in ("again", "trusted", "another file"))


@DAMAGED
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(damage, words, tmp_path):
    for number in (9, 10, 11):
        torch.save(STRANGER, tmp_path / TEMPLATE.format(number))
    last = tmp_path / TEMPLATE.format(11)
    (tmp_path / "last_checkpoint").write_text(str(last))
    damage(last)
    chosen, passed_over = newest_whole(tmp_path, TEMPLATE)
    assert chosen == tmp_path / TEMPLATE.format(10)
    assert list(passed_over) == [last] and words in passed_over[last]


@pytest.mark.parametrize(
    ("marked", "later", "chosen"),
    [
        ("iter_4.pth", (), 4),
        ("iter_4.pth", (6,), 6),  # killed before it was marked
        ("", (), 6),  # the mark itself is damaged
        (b"\0\0\0\0", (), 6),  # as after a power cut
        (b"\xff\xfe\x80", (), 6),
        ("notes", (), 6),
        (None, (), 6),
        ("iter_5.pth", (), 4),  # its file is gone; the higher one is of an earlier run
        ("elsewhere/iter_4.pth", (), 4),  # the folder was moved
    ],
)
def test_what_is_resumed_from(marked, later, chosen, tmp_path):
    for number in (2, 4, 6):
        path = tmp_path / TEMPLATE.format(number)
        torch.save(STRANGER, path)
        os.utime(path, (3, 3) if number in later else (1, 1))
    torch.save(STRANGER, tmp_path / "best_mIoU_iter_8.pth")
    if marked is not None:
        marker = tmp_path / "last_checkpoint"
        is_text = isinstance(marked, str)
        marker.write_bytes(os.fsencode(tmp_path / marked) if is_text and marked else marked or b"")
        os.utime(marker, (2, 2))
    found, passed_over = newest_whole(tmp_path, TEMPLATE)
    assert found == tmp_path / TEMPLATE.format(chosen)
    faults = {path.name: fault for path, fault in passed_over.items()}
    if chosen != 6:
        assert faults.pop("iter_6.pth").startswith("is older than last_checkpoint, which names ")
    assert faults == ({"iter_5.pth": "is not there"} if marked == "iter_5.pth" else {})


def test_resuming_says_what_is_passed_over_and_goes_on_from_the_one_before(trial: Trial):
    work_dir = trial.work_dir
    cut_in_half(work_dir / "iter_3.pth")
    torch.save(STRANGER, work_dir / "iter_2.pth")
    part_of(work_dir / "iter_4.pth").write_bytes(b"half of it")
    train_to(trial, 4, "--resume")
    log = log_of(trial)
    assert f"{work_dir}/iter_3.pth is passed over: it is only a part of a checkpoint." in log
    assert f"{work_dir}/iter_2.pth is passed over: it holds weights only." in log
    assert "resumed epoch: 0, iter: 1" in log
    assert iterations_in(work_dir) == {1, 2, 3, 4}
    assert not list(work_dir.glob(".*.part"))


def test_resuming_with_nothing_to_resume_from_starts_and_says_so(tmp_path):
    trial = new_trial("seg", tmp_path)
    trial.work_dir.mkdir()
    (trial.work_dir / "iter_7.pth").touch()
    (trial.work_dir / "last_checkpoint").write_text(str(trial.work_dir / "iter_7.pth"))
    train_to(trial, 1, "--resume")
    log = log_of(trial)
    assert "iter_7.pth is passed over: it is empty." in log
    assert f"no checkpoint to resume from in {trial.work_dir}: training starts" in log
    assert read_torch(trial.work_dir / "iter_1.pth")["meta"]["iter"] == 1


def test_resuming_is_refused_where_every_checkpoint_is_of_another_model(trial: Trial):
    trial.cfg.model.backbone.arch.channels = [48, 96, 192, 384]
    trial.cfg.model.decode_head.in_channels = [48, 96, 192, 384]
    trial.cfg.model.auxiliary_head.in_channels = 192
    before = {path: path.stat().st_mtime_ns for path in trial.work_dir.rglob("*")}
    trial.merge({"train_cfg.max_iters": 4})
    expect(("iter_3.pth is of another model", "config"), trial.refusal("train", "--resume"))
    after = {path: path.stat().st_mtime_ns for path in trial.work_dir.rglob("*")}
    assert {path for path in after if path.is_file()} == {path for path in before if path.is_file()}


def no_space(trial: Trial, monkeypatch) -> None:
    def put(backend: LocalBackend, content: bytes, path: str) -> None:
        Path(path).write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(LocalBackend, "put", put)


def small_files_only(trial: Trial, monkeypatch) -> None:
    """The system's own refusal, half-way through a file."""
    size = (trial.work_dir / "iter_3.pth").stat().st_size
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))


@pytest.fixture
def file_size_limit():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("fill", [no_space, small_files_only])
def test_a_full_disk_ends_training_with_a_sentence_and_the_last_checkpoint(
    fill, trial: Trial, monkeypatch, file_size_limit
):
    fill(trial, monkeypatch)
    trial.merge({"train_cfg.max_iters": 5})
    words = ("could not be written", "iter_3.pth, is kept", "make room", "--resume")
    expect(words, trial.refusal("train", "--resume"))
    assert iterations_in(trial.work_dir) == {1, 2, 3}
    assert not list(trial.work_dir.glob(".*.part"))
    assert (trial.work_dir / "last_checkpoint").read_text().endswith("iter_3.pth")


def test_a_disk_that_fills_up_elsewhere_is_said_in_a_sentence(trial: Trial, monkeypatch):
    def full(*arguments, **options) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "scalars.json")

    monkeypatch.setattr(LocalVisBackend, "add_scalars", full)
    trial.merge({"train_cfg.max_iters": 4, "default_hooks.logger.interval": 1})
    expect(("no room left", "scalars.json", "--resume"), trial.refusal("train", "--resume"))
    assert iterations_in(trial.work_dir) == {1, 2, 3}
