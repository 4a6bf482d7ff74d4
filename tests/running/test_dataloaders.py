"""Loading in the main process, as our sentences advise, works whatever is set for workers."""

from pathlib import Path

import pytest

from helpers.provocations import new_trial
from helpers.synthetic import SPLITS

OF_WORKERS = dict(
    persistent_workers=True, prefetch_factor=2, timeout=9, multiprocessing_context="spawn"
)


@pytest.mark.parametrize("task", ["seg", "det"])
def test_options_of_workers_do_no_harm_where_there_are_none(task: str, tmp_path: Path):
    trial = new_trial(task, tmp_path)
    for split in SPLITS:
        trial.cfg[f"{split}_dataloader"].update(num_workers=0, **OF_WORKERS)
    trial.run("train")
    trial.run("test", str(trial.work_dir / "iter_1.pth"))
