"""The kernels in Triton without a GPU: by its interpreter, and compiled for several."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mmdcls.dcls.gpu import TRITON

TESTS = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton: pip install triton"),
]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))


@pytest.mark.skipif(
    TRITON is not None and numbers(TRITON) < (3, 7) and numbers(np.__version__) >= (2, 4),
    reason="Triton's interpreter before 3.7 takes a range with numpy before 2.4 alone",
)
@pytest.mark.parametrize("laws", ["conv/test_band.py", "test_construction.py"])
def test_the_kernels_keep_their_laws_in_the_interpreter(laws):
    # It has to be chosen before Triton's kernels are imported, and changes Triton for good.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / laws)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed(, \d+ warnings)? in ", done.stdout.splitlines()[-1]), done.stdout
