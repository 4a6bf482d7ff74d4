"""Commands that tests start beside themselves."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

# Of the output of processes that failed: why a process ended, in its words and in torchrun's.
REASONS = re.compile(r"terminate called|what\(\):|Fatal Python|Error: |exitcode")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(*command, **variables) -> subprocess.Popen:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = dict(
        CUDA_VISIBLE_DEVICES="",
        PATH=path,
        PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
        # A process that a signal ends says where each of its threads was.
        PYTHONFAULTHANDLER="1",
    )
    return subprocess.Popen(
        [str(part) for part in command],
        env={"OMP_NUM_THREADS": "1", **os.environ, **own, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    """Its output; a process that hangs is killed."""
    try:
        output, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    return output


def succeed(*processes: subprocess.Popen) -> str:
    """The output of processes that end well; else all of it, and last the lines that say why."""
    outputs = [finish(process) for process in processes]
    output = "\n".join(outputs)
    reasons = [line for line in output.splitlines() if REASONS.search(line)]
    statuses = [process.returncode for process in processes]
    if any(statuses):
        pytest.fail("\n".join([output, f"exit statuses {statuses}:", *reasons]), pytrace=False)
    return output
