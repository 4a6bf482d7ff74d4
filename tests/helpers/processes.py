"""Commands that tests start beside themselves."""

import os
import socket
import subprocess
import sys
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(*command, **variables) -> subprocess.Popen:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = dict(
        CUDA_VISIBLE_DEVICES="", PATH=path, PYTHONPATH=os.pathsep.join(filter(None, sys.path))
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
