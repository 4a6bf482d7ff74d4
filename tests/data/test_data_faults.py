"""A worker process that dies, and files that cannot be read in the middle of training."""

import os
import signal
from pathlib import Path

import pytest
import torch
import torch._dynamo  # noqa: F401  whose import would stay half done where a dead worker interrupts it
from mmengine.registry import TRANSFORMS
from torch.utils.data import TensorDataset, get_worker_info

from helpers.provocations import LABEL_MAP, TRAINING_IMAGE, Trial, cut, expect, new_trial
from mmdcls.errors import InputError
from mmdcls.running.failures import sentence_of
from mmdcls.running.hooks import UnreadableFiles

ITERATIONS = 4


@TRANSFORMS.register_module()
class KillsItsWorker:
    """As the system does where memory runs out."""

    def __call__(self, sample: dict) -> dict:
        assert get_worker_info() is not None
        os.kill(os.getpid(), signal.SIGKILL)
        return sample


def skipping(task: str, folder: Path, workers: int = 0) -> Trial:
    trial = new_trial(task, folder)
    trial.cfg.custom_hooks = [dict(type="mmdcls.UnreadableFiles", policy="skip", interval=2)]
    trial.merge({"train_cfg.max_iters": ITERATIONS, "train_dataloader.num_workers": workers})
    trial.cfg.default_hooks.checkpoint.interval = ITERATIONS
    return trial


def log_of(trial: Trial) -> str:
    (log,) = trial.work_dir.rglob("*.log")
    return log.read_text()


def test_a_worker_that_is_killed_ends_training_with_what_to_do(tmp_path):
    trial = new_trial("seg", tmp_path)
    trial.merge({"train_dataloader.num_workers": 1})
    trial.cfg.train_dataloader.dataset.pipeline.append(dict(type="KillsItsWorker"))
    words = ("worker process", "has died", "memory", "lower num_workers", "--resume")
    expect(words, trial.refusal("train"))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Bus error. It is", "/dev/shm"),
        ("DataLoader worker (pid 7) is killed by signal: Segmentation fault. ", "Segmentation"),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "7, 8"),
    ],
)
def test_every_way_in_which_torch_reports_a_dead_worker_is_a_sentence(message, words):
    expect((words, "num_workers"), sentence_of(RuntimeError(message)))


def test_other_failures_keep_their_traceback():
    assert sentence_of(RuntimeError("shapes do not match")) is None
    assert sentence_of(PermissionError(13, "Permission denied")) is None


@pytest.mark.slow
@pytest.mark.parametrize(("task", "workers"), [("seg", 2), ("det", 0)])
def test_files_that_cannot_be_read_are_skipped_counted_and_named_once(task, workers, tmp_path):
    trial = skipping(task, tmp_path, workers)
    cut(TRAINING_IMAGE[task], 99)(trial)
    trial.run("train")
    assert (trial.work_dir / f"iter_{ITERATIONS}.pth").is_file()
    log = log_of(trial)
    assert "samples were skipped so far, for 1 files that cannot be read" in log
    assert log.count(str(trial.data / TRAINING_IMAGE[task])) == 1


def test_a_label_map_is_skipped_as_well(tmp_path):
    trial = skipping("seg", tmp_path)
    cut(LABEL_MAP, 50)(trial)
    trial.run("train")
    assert str(trial.data / LABEL_MAP) in log_of(trial)


def test_nothing_is_logged_where_every_file_can_be_read(tmp_path):
    trial = skipping("seg", tmp_path)
    trial.run("train")
    assert "skipped" not in log_of(trial).partition("Checkpoints will be saved")[2]


def test_training_ends_where_most_files_cannot_be_read(tmp_path):
    trial = skipping("seg", tmp_path)
    for number in (0, 1):
        cut(f"images/training/{number}.jpg", 99)(trial)
    expect(("cannot be read", "one of 2 in 3 samples"), trial.refusal("train"))


def test_validation_never_skips(tmp_path):
    trial = skipping("seg", tmp_path)
    cut("images/validation/1.jpg", 99)(trial)
    expect(("validation/1.jpg cannot be read",), trial.refusal("train"))


def test_the_policy_to_stop_is_that_without_the_hook(tmp_path):
    trial = skipping("seg", tmp_path)
    trial.cfg.custom_hooks[0].policy = "stop"
    cut(TRAINING_IMAGE["seg"], 99)(trial)
    expect(("1.jpg cannot be read", "replace it"), trial.refusal("train"))


def test_a_data_set_that_has_no_pipeline_cannot_be_skipped_in():
    with pytest.raises(InputError, match="cannot skip in TensorDataset, which has no pipeline"):
        UnreadableFiles(policy="skip").prepare(TensorDataset(torch.zeros(2)))


@pytest.mark.parametrize("wrong", [dict(policy="ignore"), dict(interval=0), dict(interval=1.5)])
def test_wrong_options_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        UnreadableFiles(**wrong)
