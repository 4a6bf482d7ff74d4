"""Reuse what was built from parameters, as long as the parameters are what they were."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class ParameterCache:
    """Keeps one value together with a copy of the tensors it was built from.

    The tensors are compared by value, since `.data.copy_` (mmengine's EMAHook uses it) changes
    neither identity nor version counter. The cache is not state: copies and pickles start empty.
    """

    def __init__(self) -> None:
        self._entry: tuple[tuple[Tensor, ...], Any] | None = None

    def get(self, sources: Sequence[Tensor], build: Callable[[], Any]) -> Any:
        entry = self._entry
        if entry is None or not all(map(same, entry[0], sources)):
            # Built as normal tensors, so that what is built under inference_mode serves later.
            with torch.inference_mode(False), torch.no_grad():
                entry = tuple(source.detach().clone() for source in sources), build()
            self._entry = entry
        return entry[1]

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
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return all(
        type(source) in (Tensor, torch.nn.Parameter) and not source.is_meta for source in sources
    )
