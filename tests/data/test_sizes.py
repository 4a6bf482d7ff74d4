"""An image and its truth are loaded in one size, and labels fit into a byte, or that is said."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from PIL import ExifTags, Image

from helpers.provocations import (
    INSTANCES,
    LABEL_MAP,
    TRAINING_IMAGE,
    Case,
    Trial,
    annotations,
    expect,
    new_trial,
)
from mmdcls.data.reading import watch
from mmdcls.errors import InputError


def turned(trial: Trial) -> None:
    path = trial.data / TRAINING_IMAGE[trial.task]
    with Image.open(path) as image:
        tags = image.getexif()
        tags[ExifTags.Base.Orientation] = 6
        image.save(path, exif=tags)


def halved(content: dict) -> None:
    for image in content["images"]:
        image.update(height=45, width=60)


def labels_of(label: int, dtype: type) -> Callable[[Trial], None]:
    def write(trial: Trial) -> None:
        assert cv2.imwrite(str(trial.data / LABEL_MAP), np.full((90, 120), label, dtype))

    return write


def cut_short(trial: Trial) -> None:
    path = str(trial.data / LABEL_MAP)
    cv2.imwrite(path, cv2.imread(path, cv2.IMREAD_UNCHANGED)[:80])


WRONG = [
    Case(
        "turned by its EXIF tag",
        turned,
        ("1.jpg is 120 x 90", "EXIF", "1.png says 90 x 120", "color_ignore_orientation"),
    ),
    Case(
        "turned by its EXIF tag",
        turned,
        ("1.jpg is 120 x 90", "EXIF", f"{INSTANCES} says 90 x 120", "color_ignore_orientation"),
        "det",
    ),
    Case(
        "sizes of other images",
        annotations(INSTANCES, halved),
        (".jpg is 90 x 120", f"{INSTANCES} says 45 x 60"),
        "det",
    ),
    Case("a label map that is cut", cut_short, ("1.jpg is 90 x 120", "1.png says 80 x 120")),
    Case("a label of 16 bits", labels_of(258, np.uint16), ("1.png has the label 258 (16 bits)",)),
    Case("a label of 16 bits", labels_of(300, np.uint16), ("1.png has the label 300 (16 bits)",)),
]
FINE = [
    Case("16 bits of which one byte is used", labels_of(7, np.uint16), ()),
    Case("no class in 16 bits", labels_of(65535, np.uint16), ()),
    Case("as it is", lambda trial: None, ()),
    Case("as it is", lambda trial: None, (), "det"),
]


def load_all(case: Case, folder: Path) -> None:
    trial = new_trial(case.task, folder)
    case.provoke(trial)
    init_default_scope(trial.cfg.default_scope)
    for split in ("train", "val"):
        dataset = DATASETS.build(trial.cfg[f"{split}_dataloader"].dataset)
        watch(dataset)
        for sample in dataset:
            assert sample["inputs"].ndim == 3


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_what_does_not_go_together_is_named(case: Case, tmp_path: Path):
    with pytest.raises(InputError) as refused:
        load_all(case, tmp_path)
    expect(case.words, str(refused.value))


@pytest.mark.parametrize("case", FINE, ids=str)
def test_what_goes_together_is_loaded(case: Case, tmp_path: Path):
    load_all(case, tmp_path)


def test_training_ends_with_the_sentence_and_leaves_no_files(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    cut_short(trial)
    expect(("1.png says 80 x 120",), trial.refusal("train"))
    assert not trial.work_dir.exists()


def test_such_images_are_skipped_where_unreadable_ones_are(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    turned(trial)
    trial.cfg.custom_hooks = [dict(type="mmdcls.UnreadableFiles", policy="skip", interval=1)]
    trial.merge({"train_cfg.max_iters": 2})
    trial.run("train")
    assert "samples were skipped" in "".join(log.read_text() for log in tmp_path.rglob("*.log"))
