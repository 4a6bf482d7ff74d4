from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mmdcls.dcls import construction, gpu
from mmdcls.dcls.conv import windows
from mmdcls.dcls.conv.crossovers import BAND_FROM


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


@pytest.fixture
def capability(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """That of the GPU that is pretended, with Triton; as it comes, one that was measured."""
    known = [next(iter(BAND_FROM))]
    caches = windows.known_why_not, construction.known_why_not
    monkeypatch.setattr(gpu, "HAS_TRITON", True)
    for module in (gpu, windows, construction):
        monkeypatch.setattr(module, "capability_of", lambda device: known[0])
    for cache in caches:
        cache.cache_clear()
    yield known
    for cache in caches:
        cache.cache_clear()
