"""What the label maps of a run hold is looked at as they come."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.provocations import Trial, new_trial


def paint_all(trial: Trial, labels: tuple[int, ...]) -> None:
    """Of ADE20K's layout, where 0 is no class and 1 the first."""
    for path in trial.data.glob("annotations/*/*.png"):
        truth = np.zeros((90, 120), np.uint8)
        for index, label in enumerate(labels):
            truth[:, index::2] = label
        assert cv2.imwrite(str(path), truth)


def log_of(trial: Trial) -> str:
    trial.run("train")
    return "".join(log.read_text() for log in trial.work_dir.rglob("*.log"))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((1, 0), ("binary masks of 0 and 255 must be written as 0 and 1",)),
        ((0, 0), ("In a batch every pixel is ignored", "binary masks")),
        ((1, 2), ()),
    ],
)
def test_what_teaches_nothing_is_said(labels, words, tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    paint_all(trial, labels)
    trial.merge({"train_cfg.max_iters": 2, "train_cfg.val_interval": 1})
    log = log_of(trial)
    for word in ("In a batch every pixel is ignored", "binary masks"):
        assert (word in log) == any(word in expected for expected in words), word
