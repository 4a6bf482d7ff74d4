"""Reuse what was built from parameters, as long as the parameters are what they were."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad


class Entry(NamedTuple):
    sources: tuple[Tensor, ...]
    context: tuple
    value: Any


class ParameterCache:
    """Keeps one value together with what it was built from.

    The cache is not state: copies and pickles start empty.
    """

    def __init__(self) -> None:
        self._entry: Entry | None = None

    def get(self, sources: Sequence[Tensor], context: tuple, build: Callable[[], Any]) -> Any:
        """The kept value, or a new one from `build` if it is out of date.

        sources  compared by value with copies, since `.data.copy_` (mmengine's EMAHook uses it)
                 changes neither identity nor version counter
        context  what else the value depends on and is never edited, compared by identity
        """
        entry = self._entry
        if entry is None or not (
            all(map(operator.is_, entry.context, context))
            and all(map(same, entry.sources, sources))
        ):
            # Built as normal tensors, so that what is built under inference_mode serves later.
            with torch.inference_mode(False), torch.no_grad():
                copies = tuple(source.detach().clone() for source in sources)
                entry = Entry(copies, context, build())
            self._entry = entry
        return entry.value

    def __deepcopy__(self, memo: dict) -> "ParameterCache":
        return ParameterCache()

    def __reduce__(self) -> tuple:
        return ParameterCache, ()


def same(old: Tensor, new: Tensor) -> bool:
    return (
        old.dtype == new.dtype
        and old.device == new.device
        and old.shape == new.shape
        and torch.equal(old, new)
    )


def may_cache(sources: Sequence[Tensor]) -> bool:
    """Whether a value built from these needs no gradient, and their values can be compared."""
    if torch.is_grad_enabled() and any(source.requires_grad for source in sources):
        return False
    # A traced graph must contain the construction; tensors without values cannot be compared.
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or is_captured(sources):
        return False
    return all(
        # Detached, it is what a mode such as FakeTensorMode makes of it.
        type(source.detach()) is Tensor and not source.is_meta and not is_transformed(source)
        for source in sources
    )


def is_captured(sources: Sequence[Tensor]) -> bool:
    """Whether a CUDA graph is being made, in which nothing can wait for values to compare."""
    return any(source.is_cuda for source in sources) and torch.cuda.is_current_stream_capturing()


def is_transformed(tensor: Tensor) -> bool:
    """Whether torch.func, forward-mode differentiation or a batch of gradients follows it."""
    # The compiler sees transforms itself, and cannot trace the questions below.
    return not torch.compiler.is_compiling() and (
        torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        or torch._C._functorch.is_legacy_batchedtensor(tensor)
        or forward_ad.unpack_dual(tensor).tangent is not None
    )


def is_traced_away() -> bool:
    """Whether the graph being traced must run where this package, and its operators, are not."""
    # Strict export traces as the compiler does, and cannot be told apart from it.
    exporting = torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
    return exporting or torch.jit.is_tracing()
