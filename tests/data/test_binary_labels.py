"""One class by sigmoid: one output channel tells the labels 0 and 1 apart."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.provocations import TRAIN, VAL, Trial, expect, new_trial


def binary(folder: Path, largest: int) -> Trial:
    trial = new_trial("seg", folder)
    for path in trial.data.glob("annotations/*/*.png"):
        truth = np.zeros((90, 120), np.uint8)
        truth[::2] = largest
        assert cv2.imwrite(str(path), truth)
    for split in (TRAIN, VAL):
        kind = dict(type="BaseSegDataset", img_suffix=".jpg", reduce_zero_label=False)
        trial.merge({f"{split}.{key}": value for key, value in kind.items()})
        trial.merge({f"{split}.metainfo": dict(classes=("background", "cell"))})
    for head in ("decode_head", "auxiliary_head"):
        options = {"num_classes": 1, "out_channels": 1, "loss_decode.use_sigmoid": True}
        trial.merge({f"model.{head}.{key}": value for key, value in options.items()})
    return trial


def test_it_is_trained_and_evaluated(tmp_path: Path):
    trial = binary(tmp_path, largest=1)
    trial.run("train")
    assert (trial.work_dir / "iter_1.pth").is_file()


@pytest.mark.parametrize("label", [2, 7])
def test_another_label_is_refused(label: int, tmp_path: Path):
    trial = binary(tmp_path, largest=label)
    expect((f"the label {label}", "num_classes=1 allows 0 to 1"), trial.refusal("train"))
