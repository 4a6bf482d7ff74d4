"""CUDA graphs without a GPU: operations are noted, and repeated in the memory that they had.

torch's own make_graphed_callables works with them. As on a GPU nothing of Python runs in a replay,
and nothing may wait for a value while a graph is made.
"""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmdcls.dcls import cache

WAITING = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)


class Graph:
    """replays: of all graphs, since they were pretended."""

    replays = 0

    def __init__(self) -> None:
        self.operations = []

    @torch.no_grad()
    def replay(self) -> None:
        Graph.replays += 1
        for operator, arguments, options, outputs in self.operations:
            given = {id_of_memory(leaf) for leaf in tensors_of((arguments, options))}
            found = operator(*arguments, **options)
            for output, value in zip(tensors_of(outputs), tensors_of(found), strict=True):
                # Views, and what is changed in place, are there already.
                if id_of_memory(output) not in given:
                    output.data.copy_(value)


def tensors_of(values: object) -> list[Tensor]:
    leaves = tree_leaves(values)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.numel() > 0]


def id_of_memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Noting(TorchDispatchMode):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        if operator in WAITING:
            raise RuntimeError("operation not permitted when stream is capturing")
        options = options or {}
        outputs = operator(*arguments, **options)
        self.graph.operations.append((operator, arguments, options, outputs))
        return outputs


class Capture:
    """As torch.cuda.graph. made: how many graphs there were. is_on: whether one is being made."""

    made = 0
    is_on = False

    def __init__(self, graph: Graph, pool: None, capture_error_mode: str) -> None:
        assert capture_error_mode == "thread_local"
        self.mode = Noting(graph)

    def __enter__(self) -> None:
        Capture.made += 1
        Capture.is_on = True
        self.mode.__enter__()

    def __exit__(self, *raised: object) -> None:
        Capture.is_on = False
        self.mode.__exit__(*raised)


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Graph, "replays", 0)
    monkeypatch.setattr(Capture, "made", 0)
    monkeypatch.setattr(cache, "is_captured", lambda sources: Capture.is_on)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "Stream", SimpleNamespace)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", Capture)
    monkeypatch.setattr(torch.cuda.graphs, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda.graphs, "graph_pool_handle", lambda: None)
