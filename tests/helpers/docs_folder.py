"""What builds the site and runs the notebook, in a folder of its own: `make test` installs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(sys.prefix) / "docs"
needs_folder = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no {FOLDER}: run make test")


def run(*arguments: str, cwd: Path = ROOT) -> str:
    """What a Python with the folder says; fails where it ends with another status than 0."""
    environment = os.environ | dict(
        PYTHONPATH=os.pathsep.join(map(str, (FOLDER, ROOT))), NO_MKDOCS_2_WARNING="1"
    )
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
