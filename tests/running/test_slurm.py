"""The scripts for Slurm, with stand-ins for its programs."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

from helpers import distributed_cases as cases
from helpers.processes import free_port, start, succeed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# Starts the tasks of the first machine, as srun would, with the variables that it would set.
SRUN = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$RECORD"
while [[ $1 == -* ]]; do shift; done
for task in $(seq 0 $((TASKS - 1))); do
    SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=$TASKS SLURM_NODELIST='n[1-2]' "$@" &
    tasks+=($!)
done
for task in "${tasks[@]}"; do wait "$task" || exit 1; done
"""
SCONTROL = """#!/usr/bin/env bash
[[ "$*" == 'show hostnames n[1-2]' ]] && printf '127.0.0.1\\nelsewhere\\n'
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """The file in which srun's arguments will stand."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in dict(srun=SRUN, scontrol=SCONTROL).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "arguments"))
    monkeypatch.setenv("TASKS", "0")
    for name in ("MASTER_ADDR", "GPUS", "GPUS_PER_NODE", "CPUS_PER_TASK", "SRUN_ARGS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "arguments"


def arguments(script: str, *given: str, **variables: str) -> list[str]:
    command = [str(ROOT / "tools" / script), *given]
    subprocess.run(command, check=True, env={**os.environ, **variables})
    return Path(os.environ["RECORD"]).read_text().splitlines()


def test_a_job_takes_eight_gpus_of_one_machine(slurm):
    assert arguments("slurm_train.sh", "part", "name", "config.py", "--resume") == [
        "--partition=part",
        "--job-name=name",
        "--ntasks=8",
        "--ntasks-per-node=8",
        "--gres=gpu:8",
        "--cpus-per-task=5",
        "--kill-on-bad-exit=1",
        *("python", "-u", str(ROOT / "tools/train.py")),
        *("config.py", "--launcher", "slurm", "--resume"),
    ]


SIZES = [
    (dict(GPUS="16"), ("--ntasks=16", "--ntasks-per-node=8", "--gres=gpu:8")),
    (dict(GPUS="2"), ("--ntasks=2", "--ntasks-per-node=2", "--gres=gpu:2")),
    (dict(GPUS="8", GPUS_PER_NODE="4"), ("--ntasks=8", "--ntasks-per-node=4", "--gres=gpu:4")),
    (dict(CPUS_PER_TASK="3"), ("--ntasks=8", "--cpus-per-task=3")),
    (dict(SRUN_ARGS="--time=1:00 --qos=high"), ("--time=1:00", "--qos=high")),
]


@pytest.mark.parametrize(("variables", "expected"), SIZES, ids=str)
@pytest.mark.parametrize("script", ["slurm_train.sh", "slurm_test.sh"])
def test_variables_choose_the_size_of_a_job(script, variables, expected, slurm):
    assert set(expected) <= set(arguments(script, "part", "name", "c.py", "c.pth", **variables))


def test_a_test_job_has_its_checkpoint(slurm):
    given = arguments("slurm_test.sh", "part", "name", "config.py", "c.pth", "--tta")
    script = str(ROOT / "tools/test.py")
    assert given[-6:] == [script, "config.py", "c.pth", "--launcher", "slurm", "--tta"]


@pytest.mark.parametrize("script", sorted((ROOT / "tools").glob("*.sh")), ids=lambda p: p.name)
def test_a_script_without_its_arguments_says_what_they_are(script):
    found = subprocess.run(["bash", script, "one"], capture_output=True, text=True)
    assert found.returncode != 0 and f"usage: {script.name} " in found.stderr


def test_two_tasks_train_together(slurm, tmp_path):
    cfg = cases.case_config(cases.write_config(tmp_path), "flexible", tmp_path / "work", 2)
    cfg.train_cfg.max_iters = 2
    cfg.dump(tmp_path / "two.py")
    process = start(
        *(ROOT / "tools/slurm_train.sh", "part", "name", tmp_path / "two.py"),
        **dict(MASTER_PORT=str(free_port()), TASKS="2", GPUS="2"),
    )
    succeed(process)
    checkpoint = torch.load(tmp_path / "work/iter_2.pth", weights_only=True)
    assert checkpoint["meta"]["iter"] == 2
    assert not any(name.startswith("module.") for name in checkpoint["state_dict"])
