"""A run that is resumed ends with the bits of one that was never interrupted.

Both do the same operations in the same order, so that nothing hangs on how a processor rounds.
"""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import loops

from helpers.provocations import Trial, expect, new_trial
from mmdcls.checkpoint.files import read_torch
from mmdcls.running.hooks.exact_resume import random_states, set_random_states

pytestmark = pytest.mark.slow

INTERRUPTED, ITERATIONS = 4, 8


class Interrupted(Exception):
    pass


@HOOKS.register_module()
class Interrupts(Hook):
    """Ends training in the middle of an iteration, after the last checkpoint."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == INTERRUPTED + 1:
            raise Interrupted


def draws_everything(trial: Trial) -> None:
    """Dropout, drop path and random augmentation, momentum, schedules, EMA, validation."""
    cfg = trial.cfg
    cfg.custom_hooks = [
        dict(type="mmdcls.ClampPositions"),
        dict(type="EMAHook", momentum=0.1, update_buffers=True),
        dict(type="mmdcls.ExactResume"),
    ]
    cfg.randomness = dict(seed=3)
    cfg.model.backbone.update(drop_path_rate=0.3, interpolation="gaussian")
    cfg.train_dataloader.batch_size = 2
    cfg.optim_wrapper.optimizer = dict(type="AdamW", lr=1e-3, weight_decay=0.05)
    cfg.param_scheduler = [
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=6),
        dict(type="CosineAnnealingLR", by_epoch=False, begin=6, end=ITERATIONS),
    ]
    cfg.default_hooks.checkpoint = dict(
        type="mmdcls.CheckpointHook", by_epoch=False, interval=2, save_best="auto", rule="greater"
    )


def by_iterations(trial: Trial) -> None:
    trial.merge({"train_cfg.max_iters": ITERATIONS, "train_cfg.val_interval": 2})


def in_threes(trial: Trial) -> None:
    """The run is interrupted after the first of three iterations that make a step."""
    by_iterations(trial)
    trial.cfg.optim_wrapper.accumulative_counts = 3


def through_epochs(trial: Trial) -> None:
    """By iterations; the sampler ends after three of them, and is shuffled anew."""
    by_iterations(trial)
    trial.cfg.train_dataloader.sampler = dict(type="DefaultSampler", shuffle=True)
    twice(trial)


def twice(trial: Trial) -> None:
    dataset = trial.cfg.train_dataloader.dataset
    trial.cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=2, dataset=dataset)


def by_epochs(trial: Trial) -> None:
    """One iteration of two images an epoch; the sampler is shuffled anew for each."""
    trial.cfg.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=ITERATIONS, val_interval=2)
    trial.cfg.train_dataloader.update(
        sampler=dict(type="DefaultSampler", shuffle=True), drop_last=True
    )
    trial.cfg.default_hooks.checkpoint.by_epoch = True
    trial.cfg.default_hooks.logger.pop("log_metric_by_epoch", None)
    trial.cfg.log_processor.by_epoch = True


def differences(first: object, second: object, path: str = "") -> list[str]:
    """Where two nests of tensors and plain values differ."""
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [path]
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        pairs = [(f"{path}.{key}", first[key], second[key]) for key in first]
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), path
        pairs = [(f"{path}.{i}", *pair) for i, pair in enumerate(zip(first, second, strict=True))]
    else:
        return [] if first == second else [path]
    return [found for name, *pair in pairs for found in differences(*pair, name)]


def final(trial: Trial) -> dict:
    return read_torch(Path((trial.work_dir / "last_checkpoint").read_text()))


def straight_and_resumed(task: str, folder: Path, change) -> tuple[dict, dict]:
    ends = []
    for name in ("straight", "resumed"):
        trial = new_trial(task, folder / name)
        draws_everything(trial)
        change(trial)
        if name == "resumed":
            hooks = trial.cfg.custom_hooks
            trial.cfg.custom_hooks = [*hooks, dict(type="Interrupts")]
            with pytest.raises(Interrupted):
                trial.run("train")
            trial.cfg.custom_hooks = hooks
            # What this process has drawn since is not what the run would have drawn.
            random.seed(1)
            np.random.seed(1)
            torch.manual_seed(1)
            trial.run("train", "--resume")
            assert any("iter: 4" in log.read_text() for log in trial.work_dir.rglob("*.log"))
        else:
            trial.run("train")
        ends.append(final(trial))
    return tuple(ends)


@pytest.mark.parametrize(
    ("task", "change"),
    [("det", by_iterations), ("seg", in_threes), ("seg", through_epochs), ("seg", by_epochs)],
)
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(
    task, change, tmp_path, monkeypatch
):
    # mmengine sleeps between epochs.
    monkeypatch.setattr(loops.time, "sleep", lambda seconds: None)
    straight, resumed = straight_and_resumed(task, tmp_path, change)
    parts = ("state_dict", "ema_state_dict", "optimizer", "param_schedulers", "random_states")
    for part in parts:
        assert straight[part], part
        assert not differences(straight[part], resumed[part]), part
    assert straight["meta"]["iter"] == ITERATIONS
    assert any("positions" in name for name in straight["state_dict"])


def test_without_it_the_runs_part(tmp_path):
    """Else the law above would hold for runs in which nothing is drawn."""

    def without(trial: Trial) -> None:
        by_iterations(trial)
        trial.cfg.custom_hooks.pop()

    straight, resumed = straight_and_resumed("seg", tmp_path, without)
    assert differences(straight["state_dict"], resumed["state_dict"])


def test_states_that_are_saved_and_restored_draw_the_same_numbers(tmp_path):
    def draw() -> list[float]:
        plain = random.random(), random.gauss(0, 1), float(np.random.rand()), np.random.randn()
        return [*plain, *torch.rand(3).tolist(), *torch.randn(17).tolist()]

    random.gauss(0, 1)  # leaves a second normal number behind
    np.random.randn()
    torch.save(random_states(), tmp_path / "states.pth")
    expected = draw()
    draw()
    set_random_states(torch.load(tmp_path / "states.pth", weights_only=True))
    assert draw() == expected


def test_it_asks_for_a_seed(tmp_path):
    trial = new_trial("seg", tmp_path)
    trial.cfg.custom_hooks = [dict(type="mmdcls.ExactResume")]
    expect(("ExactResume", "randomness.seed=0"), trial.refusal("train"))


def test_a_checkpoint_from_the_middle_of_an_epoch_is_refused(tmp_path):
    trial = new_trial("seg", tmp_path)
    draws_everything(trial)
    by_epochs(trial)
    twice(trial)
    trial.cfg.default_hooks.checkpoint.update(by_epoch=False, interval=1)
    trial.merge({"train_cfg.max_epochs": 1})
    trial.run("train")
    sentence = trial.refusal("train", "--resume", str(trial.work_dir / "iter_1.pth"))
    expect(("iteration 1", "middle of an epoch of", "leave the hook out"), sentence)


def test_a_checkpoint_without_states_is_resumed_and_that_is_said(tmp_path):
    trial = new_trial("seg", tmp_path)
    trial.run("train")
    trial.cfg.custom_hooks = [dict(type="mmdcls.ExactResume")]
    trial.cfg.randomness = dict(seed=0)
    trial.merge({"train_cfg.max_iters": 2})
    trial.run("train", "--resume")
    logs = "".join(log.read_text() for log in trial.work_dir.rglob("*.log"))
    assert "restores no random states: the checkpoint has none" in logs
