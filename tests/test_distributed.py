"""Several processes do what one does with the batches of all; without GPUs, by gloo."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import distributed_cases as cases
import pytest
import torch
from mmengine.config import Config

from mmdcls import launch
from mmdcls.errors import InputError
from mmdcls.processes import join_processes_on_cpu

ROOT = Path(__file__).resolve().parent.parent
# Sums over a batch are made in another order, and 20 steps of AdamW carry that on.
TOLERANCE = dict(rtol=0, atol=1e-5)
# As srun does it: every task has the whole command, and its number in its environment.
FAKE_SRUN = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$(dirname "$0")/arguments"
while [[ "$1" == --* ]]; do shift; done
for task in 0 1; do
    SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=2 SLURM_NODELIST=here "$@" &
    tasks+=($!)
done
for task in "${tasks[@]}"; do wait "$task" || exit 1; done
"""
FAKE_SCONTROL = "#!/usr/bin/env bash\necho 127.0.0.1\n"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def environment(**variables: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **variables}


def started(command: list[object], **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        list(map(str, command)),
        env=environment(**variables),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finished(*processes: subprocess.Popen) -> None:
    outputs = [process.communicate()[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(outputs)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    file = folder / f"iter_{cases.ITERATIONS}.pth"
    return torch.load(file, weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return cases.write_config(tmp_path_factory.mktemp("distributed"))


@pytest.fixture(scope="module")
def alone(config) -> Path:
    """Every case in one process, with the batch of all."""
    folder = config.parent / "alone"
    for case in cases.CASES:
        cases.train(config, folder, case, "none")
    return folder


@pytest.fixture(scope="module")
def together(config) -> Path:
    """Every case in two processes, with half of the batch each."""
    folder = config.parent / "together"
    every = [*cases.CASES, *cases.STRATEGY_CASES]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2]
    port = ["--master-port", free_port()]
    finished(started([*torchrun, *port, cases.__file__, config, folder, *every]))
    return folder


def assert_same(found: dict, expected: dict) -> None:
    torch.testing.assert_close(found, expected, **TOLERANCE)


@pytest.mark.parametrize("case", [*cases.CASES, *cases.STRATEGY_CASES])
def test_two_processes_learn_what_one_learns(case, alone, together):
    assert_same(weights(together / case), weights(alone / case.rpartition("-")[2]))


@pytest.mark.parametrize("case", [*cases.CASES, *cases.STRATEGY_CASES])
def test_two_processes_share_the_images_of_one(case, alone, together):
    def names(file: Path) -> list[list[str]]:
        return json.loads(file.read_text())["names"]

    expected = names(alone / case.rpartition("-")[2] / "seen_0.json")
    parts = [names(together / case / f"seen_{rank}.json") for rank in (0, 1)]
    assert len(expected) == cases.ITERATIONS
    for whole, first, second in zip(expected, *parts, strict=True):
        assert len(first) == len(second) == cases.BATCH // 2
        assert sorted(first + second) == sorted(whole)


def test_no_search_for_unused_parameters_is_needed(together):
    for case in [*cases.CASES, "flexible-together"]:
        found = json.loads((together / case / "seen_1.json").read_text())
        assert found["wrapper"] == "MMDistributedDataParallel"
        assert found["finds_unused"] is False


def test_training_learns_and_the_cases_differ(alone):
    first = weights(alone / "plain")
    for case in ("frozen", "accumulation"):
        other = weights(alone / case)
        assert max((first[key] - other[key]).abs().max() for key in first) > 1e-3


def options(**more: object) -> list[str]:
    every = {"train_dataloader.batch_size": cases.BATCH // 2, **more}
    return ["--cfg-options", *(f"{key}={value}" for key, value in every.items())]


def test_two_machines_train_by_dist_train(config, alone, tmp_path):
    script, port = ROOT / "tools/dist_train.sh", free_port()
    command = [script, config, 1, "--work-dir", tmp_path, *options(**cases.TOGETHER)]
    finished(*(started(command, NNODES="2", NODE_RANK=rank, PORT=port) for rank in "01"))
    assert_same(weights(tmp_path), weights(alone / "together"))
    assert len(list(tmp_path.rglob("*.pth"))) == 1


def test_slurm_trains_with_the_arguments_that_people_know(config, alone, tmp_path):
    for name, text in dict(srun=FAKE_SRUN, scontrol=FAKE_SCONTROL).items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = ROOT / "tools/slurm_train.sh"
    path = f"{tmp_path}:{environment()['PATH']}"
    variables = dict(
        GPUS="2", GPUS_PER_NODE="1", CPUS_PER_TASK="3", SRUN_ARGS="--exclusive --qos=a"
    )
    flexible = {"runner_type": "FlexibleRunner", "strategy.type": "DDPStrategy"}
    command = [script, "part", "job", config, "--work-dir", tmp_path / "work", *options(**flexible)]
    finished(started(command, PATH=path, MASTER_PORT=free_port(), **variables))
    given = (tmp_path / "arguments").read_text().split("\n")
    for argument in (
        *("--partition=part", "--job-name=job", "--ntasks=2", "--ntasks-per-node=1"),
        *("--gres=gpu:1", "--cpus-per-task=3", "--exclusive", "--qos=a"),
    ):
        assert argument in given
    assert_same(weights(tmp_path / "work"), weights(alone / "plain"))


def test_norms_that_need_gpus_are_refused_with_what_to_do_instead(config, tmp_path):
    cfg = Config.fromfile(config)
    cfg.model.decode_head.norm_cfg = dict(type="SyncBN", requires_grad=True)
    cfg.launcher, cfg.work_dir = "pytorch", str(tmp_path / "work")
    with pytest.raises(SystemExit, match=r"model\.decode_head\.norm_cfg\.type=BN"):
        launch.run(cfg, "train")
    assert not (tmp_path / "work").exists()


def test_a_process_that_srun_did_not_start_says_so(config, monkeypatch):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    cfg = Config.fromfile(config)
    cfg.launcher = "slurm"
    with pytest.raises(InputError, match="SLURM_PROCID is not set"):
        join_processes_on_cpu(cfg)


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_process_takes_files_back(rank, tmp_path, monkeypatch):
    def fails(*arguments: object) -> None:
        (tmp_path / "work").mkdir()
        raise InputError("no")

    monkeypatch.setattr(launch, "check_config", fails)
    monkeypatch.setenv("RANK", str(rank))
    with pytest.raises(SystemExit, match="no"):
        launch.run(Config(dict(launcher="pytorch", work_dir=str(tmp_path / "work"))), "train")
    assert (tmp_path / "work").exists() == (rank == 1)
