"""A run resumes from its own checkpoints, wherever it was copied to, and leaves others alone."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.hooks import CheckpointHook as MmengineCheckpointHook

from helpers.provocations import STRANGER, Trial, new_trial
from mmdcls.checkpoint.whole import newest_whole

TEMPLATE = "iter_{}.pth"
# Checkpoints, those of them written after the mark, what the mark in work names, and the one to
# resume from. The run writes to out/work, or has done so, where that is there.
FOLDERS = {
    "copied": ("a/4 a/6 work/2 work/4", "a/6", "a/4", "work/4"),
    "copied with what an earlier run left": ("a/4 work/4 work/6", "work/6", "a/4", "work/4"),
    "restored in part": ("a/4 a/6 work/2", "", "a/4", "work/2"),
    "reused": ("work/2 work/4 a/2 a/6", "a/2 a/6", "work/4", "work/4"),
    "written elsewhere": ("out/work/2 out/work/4", "", "out/work/4", "out/work/4"),
    "killed before the mark": ("out/work/2 out/work/4", "out/work/4", "out/work/2", "out/work/4"),
    "written elsewhere from then on": ("work/2 out/work/4", "", "out/work/4", "out/work/4"),
    "written here from then on": ("work/4 out/work/2", "", "work/4", "work/4"),
    "written to both": ("work/2 work/4 out/work/2", "", "out/work/2", "out/work/2"),
    "copied with out_dir": ("out/a/4 out/a/6 out/work/4", "out/a/6", "out/a/4", "out/work/4"),
    "copied without out_dir": ("out/a/2 out/a/4 out/a/6", "out/a/6", "out/a/4", "out/a/4"),
    "moved with out_dir": ("out/work/2 out/work/4", "", "out/a/4", "out/work/4"),
    "without a mark": ("out/work/2 out/work/4", "", None, "out/work/4"),
}


@pytest.mark.parametrize(("there", "late", "marked", "chosen"), FOLDERS.values(), ids=FOLDERS)
def test_what_a_run_with_several_folders_resumes_from(there, late, marked, chosen, tmp_path):
    def file(name: str) -> Path:
        return tmp_path / Path(name).parent / TEMPLATE.format(Path(name).name)

    (tmp_path / "work").mkdir()
    for name in there.split():
        file(name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(STRANGER, file(name))
        os.utime(file(name), (3, 3) if name in late.split() else (1, 1))
    if marked is not None:
        marker = tmp_path / "work" / "last_checkpoint"
        marker.write_text(str(file(marked)))
        os.utime(marker, (2, 2))
    found, _ = newest_whole(tmp_path / "work", TEMPLATE, out_dir=tmp_path / "out" / "work")
    assert found == file(chosen)


@pytest.fixture
def copied(tmp_path, monkeypatch) -> tuple[Trial, Path]:
    """A run of two iterations, and the work dir it was copied from, which went on for one more."""
    # Every checkpoint is a new best one.
    monkeypatch.setitem(MmengineCheckpointHook.rule_map, "less", lambda new, old: True)
    trial = new_trial("seg", tmp_path)
    trial.cfg.default_hooks.checkpoint.update(save_best="aAcc", rule="less")
    train_to(trial, 2)
    shutil.copytree(trial.work_dir, tmp_path / "copy")
    train_to(trial, 3, "--resume")
    first, trial.work_dir = trial.work_dir, tmp_path / "copy"
    return trial, first


def train_to(trial: Trial, iterations: int, *flags: str) -> None:
    trial.merge({"train_cfg.max_iters": iterations})
    # Runs of one name that begin in one second share a log.
    trial.cfg.experiment_name = f"{trial.folder.name}_{trial.work_dir.name}_{iterations}"
    trial.run("train", *flags)


def log_of(trial: Trial) -> str:
    return "".join(log.read_text() for log in trial.work_dir.rglob("*.log"))


def test_a_copied_work_dir_goes_on_alone(copied):
    trial, first = copied
    train_to(trial, 4, "--resume")
    log = log_of(trial)
    assert f"Load checkpoint from {trial.work_dir / 'iter_2.pth'}" in log
    assert "training goes on from" not in log
    assert [path.name for path in trial.work_dir.glob("best*")] == ["best_aAcc_iter_4.pth"]
    assert [path.name for path in first.glob("best*")] == ["best_aAcc_iter_3.pth"]


def test_from_another_folder_only_what_is_marked_is_taken_and_that_is_said(copied):
    trial, first = copied
    for path in trial.work_dir.glob("*.pth"):
        path.unlink()
    (first / "iter_2.pth").write_bytes(b"")
    train_to(trial, 4, "--resume")
    log, chosen = log_of(trial), first / "iter_1.pth"
    assert f"{first}/iter_3.pth is passed over: it is newer than last_checkpoint" in log
    assert f"{first}/iter_2.pth is passed over: it is empty" in log
    assert f"no checkpoint in {trial.work_dir}: training goes on from {chosen}, " in log
    assert f"Load checkpoint from {chosen}" in log
    assert [path.name for path in first.glob("best*")] == ["best_aAcc_iter_3.pth"]


def test_a_run_with_out_dir_resumes_from_there(tmp_path):
    trial = new_trial("seg", tmp_path)
    trial.cfg.default_hooks.checkpoint.out_dir = str(tmp_path / "out")
    train_to(trial, 2)
    train_to(trial, 3, "--resume")
    log = log_of(trial)
    assert f"Load checkpoint from {tmp_path / 'out' / 'work' / 'iter_2.pth'}" in log
    assert "training goes on from" not in log
