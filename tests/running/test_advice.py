"""What our sentences advise is given as they say it, and works."""

from pathlib import Path

import pytest

from helpers.provocations import Trial, expect, few_classes_of_the_last_stage, new_trial

AMP = dict(type="AmpOptimWrapper", optimizer=dict(type="SGD", lr=1e-3))
# changes of the config; options that are refused, words of the advice, the options as advised
FOLLOWED = {
    "a setting below None": (
        "seg",
        lambda trial: trial.cfg.optim_wrapper.update(clip_grad=None),
        ["optim_wrapper.clip_grad.max_norm=1.0"],
        ("optim_wrapper.clip_grad is None", "add optim_wrapper.clip_grad._delete_=True"),
        ["optim_wrapper.clip_grad.max_norm=1.0", "optim_wrapper.clip_grad._delete_=True"],
    ),
    "a setting of one of several heads": (
        "det",
        few_classes_of_the_last_stage,
        ["log_level=INFO", "model.roi_head.bbox_head.num_classes=80"],
        ("model.roi_head.bbox_head is a list of 2", "from model.roi_head.bbox_head.0 on"),
        ["model.roi_head.bbox_head.1.num_classes=80"],
    ),
    "mixed precision of GPUs": (
        "seg",
        lambda trial: trial.cfg.update(optim_wrapper=AMP),
        ["log_level=INFO"],
        ("give --cfg-options optim_wrapper.type=OptimWrapper, or",),
        ["optim_wrapper.type=OptimWrapper"],
    ),
    "mixed precision of GPUs with its options": (
        "seg",
        lambda trial: trial.cfg.update(optim_wrapper=dict(AMP, loss_scale="dynamic")),
        ["log_level=INFO"],
        ("optim_wrapper.type=OptimWrapper and take loss_scale out of the config, or",),
        ["optim_wrapper.type=mmdcls.AmpOptimWrapper"],
    ),
}


@pytest.mark.parametrize("case", FOLLOWED)
def test_what_is_refused_is_taken_as_the_sentence_advises(case: str, tmp_path: Path):
    task, change, refused, words, advised = FOLLOWED[case]
    trial: Trial = new_trial(task, tmp_path)
    change(trial)
    expect(words, trial.refusal("train", "--cfg-options", *refused))
    trial.run("train", "--cfg-options", *advised)
