"""FlexibleRunner refuses what Runner refuses, with the same sentences, and resumes as it does."""

from pathlib import Path

import pytest
import torch

from helpers.provocations import (
    BACKBONE,
    LABEL_MAP,
    STRANGER,
    TRAINING_IMAGE,
    Case,
    cut,
    expect,
    loaded,
    new_trial,
    paint,
    pretrained,
    remove,
    saved,
    set_to,
)

FLEXIBLE = set_to({"runner_type": "FlexibleRunner"})
CASES = [
    Case("a model that cannot be built", set_to({f"{BACKBONE}.arch": "huge"}), ("arch='huge'",)),
    Case("no label map", remove(LABEL_MAP), ("1 of 3 images", LABEL_MAP)),
    Case("broken image", cut(TRAINING_IMAGE["seg"], 99), ("1.jpg cannot be read",)),
    Case("label above num_classes", paint(LABEL_MAP, 151), ("label 151", "num_classes=150")),
    Case("start from another model", loaded("load_from", saved(STRANGER)), ("another model",)),
    Case("pretrained with another model", pretrained(saved(STRANGER)), ("another model",)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_gets_a_sentence_and_leaves_no_files(case: Case, tmp_path: Path):
    trial = new_trial(case.task, tmp_path)
    FLEXIBLE(trial)
    case.provoke(trial)
    expect(case.words, trial.refusal("train"))
    assert not trial.work_dir.exists()


def test_averages_are_resumed(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    FLEXIBLE(trial)
    trial.cfg.custom_hooks = [dict(type="EMAHook")]
    trial.run("train")
    trial.merge({"train_cfg.max_iters": 3})
    trial.run("train", "--resume")
    checkpoint = torch.load(trial.work_dir / "iter_3.pth", weights_only=True)
    # mmengine saves the average as the model, and the model's last step as the average.
    assert checkpoint["ema_state_dict"]["steps"] == 3


def test_training_resumes_from_the_newest_whole_checkpoint(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    FLEXIBLE(trial)
    trial.run("train")
    trial.merge({"train_cfg.max_iters": 2})
    (trial.work_dir / "iter_7.pth").write_bytes(b"half a check")
    (trial.work_dir / "last_checkpoint").write_text(str(trial.work_dir / "iter_7.pth"))
    trial.run("train", "--resume")
    checkpoint = torch.load(trial.work_dir / "iter_2.pth", weights_only=True)
    assert checkpoint["meta"]["iter"] == 2
    trial.run("test", str(trial.work_dir / "iter_2.pth"))
