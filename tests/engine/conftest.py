import pytest

from helpers import cuda_graphs
from mmdcls.engine import graphed_backbone


@pytest.fixture
def graphs(device, monkeypatch) -> None:
    """Without a GPU, graphs that repeat operations in the memory that they had."""
    if device.type == "cpu":
        cuda_graphs.pretend(monkeypatch)
        monkeypatch.setattr(graphed_backbone, "can_capture", lambda module: True)
