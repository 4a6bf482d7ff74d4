"""Run Python code in a process in which some packages cannot be imported."""

import subprocess
import sys
from collections.abc import Sequence


def run_without(packages: Sequence[str], code: str) -> str:
    """What the code prints; packages are import names."""
    block = f"import sys\nfor name in {list(packages)!r}:\n    sys.modules[name] = None\n"
    command = [sys.executable, "-W", "ignore", "-c", block + code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
