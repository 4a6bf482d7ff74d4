"""Every test starts from the same random numbers, so that a failure can be repeated."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from helpers import networks

TESTS = Path(__file__).parent
GPUS = [pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else []
DEVICES = ["cpu", *GPUS]
# Kernels in Triton run on a GPU, or on the CPU by its interpreter (dcls/test_interpreted.py).
TRITON_DEVICES = ["cpu"] if os.environ.get("TRITON_INTERPRET") == "1" else GPUS
# Tests that cannot run here.
collect_ignore_glob = []
if not TRITON_DEVICES:
    collect_ignore_glob += ["dcls/conv/test_band.py", "dcls/test_construction.py"]
if not GPUS:
    collect_ignore_glob += ["dcls/test_on_gpu.py"]
if not find_spec("DCLS"):
    collect_ignore_glob += ["dcls/test_published*.py"]
networks.make_importable()
# The inputs are small, and threads that wait for each other cost more than they bring.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
# The framework's convolutions on GPUs would round float32 to ten bits.
torch.backends.cudnn.allow_tf32 = False
# Tests leave process groups of gloo in cycles. A process that is forked, such as one that loads
# data, has none of gloo's threads, and would wait for them for ever when it collected such a group.
os.register_at_fork(after_in_child=gc.disable)
settings.register_profile("laws", deadline=None, derandomize=True, database=None, max_examples=40)
settings.load_profile("laws")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "where the tests of the layer make their tensors: pytest --device cuda tests/dcls"
    parser.addoption("--device", choices=("cpu", "cuda"), default="cpu", help=text)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--device") == "cuda" and not GPUS:
        raise pytest.UsageError("--device cuda: torch finds no GPU here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(TESTS).parts[0] != "dcls":
            item.add_marker(pytest.mark.openmmlab)


def pytest_collection_finish() -> None:
    # mmengine collects garbage for every data set, and what was imported is none.
    gc.freeze()


def pytest_unconfigure() -> None:
    # Triton's bindings would report all that is not collected at the end as leaked.
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def layout() -> Iterator[None]:
    # The tests of the layer alone do not import it.
    if "mmengine" not in sys.modules:
        yield
        return
    from helpers.layout import without_yapf

    with without_yapf():
        yield


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device on which the layer has to compute the same."""
    return torch.device(request.param)


@pytest.fixture(params=TRITON_DEVICES)
def triton_device(request: pytest.FixtureRequest) -> torch.device:
    """Each device on which the kernels in Triton run."""
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def default_device(request: pytest.FixtureRequest) -> Iterator[None]:
    device = request.config.getoption("--device")
    with nullcontext() if device == "cpu" else torch.device(device):
        yield


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
    # Runners flush denormals for the rest of the process.
    torch.set_flush_denormal(False)
