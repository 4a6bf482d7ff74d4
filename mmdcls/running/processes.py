"""Several processes without a GPU for each: mmengine's own start asks for one."""

import atexit
import os
import subprocess
import sys
import threading

import torch
from mmengine.config import Config

from mmdcls.config import nodes
from mmdcls.errors import InputError

# What torch wants to know, and where each launcher says it.
VARIABLES = {
    "pytorch": dict(RANK="RANK", WORLD_SIZE="WORLD_SIZE", LOCAL_RANK="LOCAL_RANK"),
    "slurm": dict(RANK="SLURM_PROCID", WORLD_SIZE="SLURM_NTASKS", LOCAL_RANK="SLURM_LOCALID"),
    "mpi": dict(
        RANK="OMPI_COMM_WORLD_RANK",
        WORLD_SIZE="OMPI_COMM_WORLD_SIZE",
        LOCAL_RANK="OMPI_COMM_WORLD_LOCAL_RANK",
    ),
}
PROGRAMS = {"pytorch": "torchrun", "slurm": "srun", "mpi": "mpirun"}


def rank_of(launcher: str) -> int:
    """Which process this is; known before it has joined the others."""
    return int(os.environ.get(VARIABLES[launcher]["RANK"], 0)) if launcher in VARIABLES else 0


def join_processes_on_cpu(cfg: Config) -> None:
    """Start gloo, and let the config wrap its model for processes that own no GPU."""
    refuse_synchronised_norms(cfg)
    name_processes(cfg.launcher)
    cfg.env_cfg = {**cfg.get("env_cfg", {}), "dist_cfg": dict(backend="gloo")}
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    # As mmengine's default, whose place is a GPU.
    wrapper = dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    if cfg.get("runner_type") != "FlexibleRunner":
        cfg.model_wrapper_cfg = {"device_ids": None, **cfg.get("model_wrapper_cfg", wrapper)}
        return
    strategy = cfg.get("strategy", dict(type="DDPStrategy"))
    if strategy["type"] == "DDPStrategy":
        wrapper = {"device_ids": None, **strategy.get("model_wrapper", wrapper)}
        cfg.strategy = {**strategy, "model_wrapper": wrapper}


def end_process() -> None:
    """The last call of a program whose work is done; of several processes, each makes it.

    By gloo it does not return. gloo's threads let go of tensors after those who waited for them
    have gone on, even past a barrier; for that they ask for the interpreter's lock, and asking
    while the interpreter is taken down aborts the process (pytorch/pytorch#190489). Nothing waits
    for these threads: they live while any model holds the group, and FSDP's are never freed. So
    all is done that precedes the taking down, and the process is left.
    """
    if not torch.distributed.is_initialized():
        return
    # Else a process that is ready sooner breaks the connections of those that still send.
    torch.distributed.barrier()
    if torch.distributed.get_backend() != "gloo":
        torch.distributed.destroy_process_group()
        return
    # As a process of multiprocessing ends; such a one has no atexit.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def name_processes(launcher: str) -> None:
    """Say in torch's words which of the processes this one is, and where the first of them is."""
    for name, theirs in VARIABLES[launcher].items():
        if theirs not in os.environ:
            raise InputError(
                f"--launcher {launcher}: the variable {theirs} is not set, so this process was not "
                f"started by {PROGRAMS[launcher]}; start it by that, or take --launcher none."
            )
        os.environ[name] = os.environ[theirs]
    os.environ.setdefault("MASTER_PORT", "29500")
    if launcher == "slurm" and "MASTER_ADDR" not in os.environ:
        command = ["scontrol", "show", "hostnames", os.environ["SLURM_NODELIST"]]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        os.environ["MASTER_ADDR"] = listed.split()[0]
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")


def refuse_synchronised_norms(cfg: Config) -> None:
    paths = [
        f"{path}.type"
        for path, node in nodes("model", cfg.get("model"))
        if node.get("type") in ("SyncBN", "MMSyncBN")
    ]
    if paths:
        options = " ".join(f"{path}=BN" for path in paths)
        raise InputError(
            f"SyncBN works on GPUs only, and several processes without GPUs were started; give "
            f"each its own statistics by --cfg-options {options}, or use "
            f"norm_cfg=dict(type='GN', num_groups=...), which does not depend on the batch."
        )
