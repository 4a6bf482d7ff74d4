"""Every test starts from the same random numbers, so that a failure can be repeated."""

import os

import pytest
import torch
from hypothesis import settings

# The inputs are small, and threads that wait for each other cost more than they bring.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
settings.register_profile("laws", deadline=None, derandomize=True, database=None, max_examples=40)
settings.load_profile("laws")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
    # Runners flush denormals for the rest of the process.
    torch.set_flush_denormal(False)
