from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """Of this process alone. A model that is wrapped within must be gone before it ends: whatever
    lets go of the group last waits for gloo's threads, and these for the interpreter."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.fixture
def on_cpu(default_device: None) -> Iterator[None]:
    """Of laws about what CPUs do, wherever other tests make their tensors."""
    with torch.device("cpu"):
        yield
