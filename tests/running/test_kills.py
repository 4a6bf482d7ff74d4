"""A run that is killed at any moment resumes, loses no more than it must, and ends as it would.

To the bit: what is compared did the same operations in the same order, on any processor.
"""

import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from helpers.provocations import Trial, new_trial
from mmdcls.checkpoint.files import read_torch
from mmdcls.running.hooks import checkpoint_hook

pytestmark = pytest.mark.slow

ITERATIONS, INTERVAL = 6, 2


def die(*arguments) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_an_iteration() -> None:
    @HOOKS.register_module(force=True)
    class Kills(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
            if runner.iter == INTERVAL + 1:
                die()


def inside_a_write() -> None:
    def put(backend: LocalBackend, content: bytes, path: str) -> None:
        Path(path).write_bytes(content[: len(content) // 2])
        die()

    LocalBackend.put = put


def before_the_mark() -> None:
    checkpoint_hook.write_whole = die


# Each kill of one run, in turn, with the iteration of which training goes on afterwards.
KILLS: list[tuple[Callable[[], None], int]] = [
    (in_an_iteration, INTERVAL),
    (inside_a_write, INTERVAL),
    (before_the_mark, 2 * INTERVAL),
]


def new_run(folder: Path) -> Trial:
    folder.mkdir()
    trial = new_trial("seg", folder)
    trial.merge({"train_cfg.max_iters": ITERATIONS, "train_cfg.val_interval": INTERVAL})
    trial.cfg.default_hooks.checkpoint.interval = INTERVAL
    trial.cfg.randomness = dict(seed=0)
    trial.cfg.model.backbone.drop_path_rate = 0.3
    trial.cfg.custom_hooks = [
        dict(type="mmdcls.ClampPositions"),
        dict(type="EMAHook"),
        dict(type="mmdcls.ExactResume"),
    ]
    return trial


def train(trial: Trial, kill: Callable[[], None] | None, *flags: str) -> None:
    if kill is not None:
        kill()
    if kill is in_an_iteration:
        trial.cfg.custom_hooks.append(dict(type="Kills"))
    trial.run("train", *flags)


def status_of(trial: Trial, kill: Callable[[], None] | None, *flags: str) -> int | None:
    """Train in a process of its own, where what kills it stays."""
    process = multiprocessing.get_context("fork").Process(target=train, args=(trial, kill, *flags))
    process.start()
    process.join()
    return process.exitcode


def test_a_run_killed_in_every_way_ends_with_the_bits_of_one_left_in_peace(tmp_path):
    peaceful, killed = new_run(tmp_path / "peaceful"), new_run(tmp_path / "killed")
    assert status_of(peaceful, None) == 0
    for kill, _ in KILLS:
        assert status_of(killed, kill, "--resume") == -signal.SIGKILL, kill.__name__
    assert status_of(killed, None, "--resume") == 0
    logs = "".join(log.read_text() for log in sorted(killed.work_dir.rglob("*.log")))
    resumed = [int(found) for found in re.findall(r"resumed epoch: 0, iter: (\d+)", logs)]
    assert resumed == [iteration for _, iteration in KILLS]
    assert not list(killed.work_dir.glob(".*.part"))
    one, other = (
        read_torch(trial.work_dir / f"iter_{ITERATIONS}.pth") for trial in (peaceful, killed)
    )
    for part in ("state_dict", "ema_state_dict"):
        assert all(torch.equal(value, other[part][name]) for name, value in one[part].items())
