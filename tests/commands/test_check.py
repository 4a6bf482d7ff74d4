"""`mmdcls check` looks at settings, annotations and images; its exit status tells the outcome."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.provocations import (
    LABEL_MAP,
    TRAIN,
    TRAINING_IMAGE,
    Case,
    Trial,
    cut,
    new_trial,
    paint,
    remove,
    set_to,
)
from mmdcls import commands


def check(trial: Trial, capsys: pytest.CaptureFixture, *flags: str) -> tuple[int, str]:
    config = trial.folder / "config.py"
    trial.cfg.dump(config)
    status = commands.main(["check", str(config), *flags])
    return status, capsys.readouterr().out


def binary(trial: Trial) -> None:
    for path in trial.data.glob("annotations/*/*.png"):
        # Zero is no class in this data set, and 1 its first.
        cv2.imwrite(str(path), np.full((90, 120), 255 * (path.stem == "0") + (path.stem == "1")))


WRONG = [
    Case("a broken image", cut(TRAINING_IMAGE["seg"], 99), ("1.jpg cannot be read",)),
    Case("a broken image", cut(TRAINING_IMAGE["det"], 99), ("1.jpg cannot be read",), "det"),
    Case("no label map", remove(LABEL_MAP), ("1 of 3 images", LABEL_MAP)),
    Case("a label without a class", paint(LABEL_MAP, 152), ("1.png has the label 151 of 150",)),
    Case(
        "a text for a list of classes",
        set_to({f"{TRAIN}.metainfo": dict(classes="wall")}),
        ("is a text", "('wall',)"),
    ),
    Case("too many classes", set_to({"model.decode_head.num_classes": 160}), ("num_classes=160",)),
    Case("binary masks", binary, ("binary masks of 0 and 255",)),
]


def test_labels_of_another_list_of_classes_are_doubted(tmp_path: Path, capsys):
    trial = new_trial("seg", tmp_path)
    assert "most pixels" not in check(trial, capsys)[1]
    for path in trial.data.glob("annotations/*/*.png"):
        labels = np.zeros((90, 120), np.uint8)
        labels[:20] = 2  # of 90 rows
        cv2.imwrite(str(path), labels)
    said = "most pixels have no class, and 149 of 150 classes no pixel: if that is not meant"
    assert said in check(trial, capsys)[1]


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_what_would_make_training_wrong_gives_status_1(case: Case, tmp_path: Path, capsys):
    trial = new_trial(case.task, tmp_path)
    case.provoke(trial)
    status, out = check(trial, capsys)
    assert status == 1
    assert any(all(w in line for w in case.words) for line in out.splitlines()), out
    assert "wrong: " in out


@pytest.mark.parametrize("task", ["seg", "det"])
def test_the_report_counts_images_and_classes(task: str, tmp_path: Path, capsys):
    status, out = check(new_trial(task, tmp_path), capsys)
    assert status == 0
    assert "train: 3 images of 90 x 120 (3); RGB (3)" in out and "val: 3 images" in out
    first = dict(seg=f"wall  {3 * 50 * 60:>20,} pixels", det=f"person  {3:>20,} objects")[task]
    assert " ".join(first.split()) in " ".join(out.split())
    assert out.endswith("nothing is wrong with the data and the settings that go with it\n")


def test_a_sample_is_looked_at_and_every_disagreement_told(tmp_path: Path, capsys):
    trial = new_trial("seg", tmp_path)
    trial.merge({"model.decode_head.num_classes": 160, "model.decode_head.ignore_index": 200})
    status, out = check(trial, capsys, "--images", "2", "--splits", "train")
    assert status == 1
    assert out.count("wrong: ") == 2
    assert "train: 2 images" in out and "val: " not in out


def test_every_folder_that_is_missing_is_named(tmp_path: Path, capsys):
    trial = new_trial("seg", tmp_path)
    folders = ["images/training", "annotations/validation"]
    for folder in folders:
        (trial.data / folder).rename(tmp_path / Path(folder).parent)
    with pytest.raises(SystemExit) as ended:
        check(trial, capsys)
    lines = str(ended.value).splitlines()
    assert len(lines) == len(folders)
    for folder, line in zip(folders, lines, strict=True):
        assert f"there is no folder {trial.data / folder};" in line
