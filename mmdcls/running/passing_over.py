"""Resuming a loop by iterations without reading the batches that it was trained on.

mmengine would load them all anew. Their indices alone are drawn, so that those that follow are the
ones that would have followed.
"""

import logging
from collections.abc import Iterator
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter, _DatasetKind


class PassedOver:
    """Batches that are where they shall be, to a loop that asks for those before."""

    def __init__(self, batches: Iterator, count: int) -> None:
        self.batches = batches
        self.left = count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batches, name)

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        if self.left == 0:
            return next(self.batches)
        self.left -= 1
        return None

    def skip_iter(self, count: int) -> None:
        """onedl's mmengine asks for all at once."""
        self.left = 0


def is_by_iterations(loop: BaseLoop) -> bool:
    return hasattr(loop, "dataloader_iterator")


def pass_over_trained(loop: BaseLoop) -> None:
    """Of a loop by iterations; a second time, nothing."""
    batches = loop.dataloader_iterator
    # onedl's mmengine can be told to begin with the first batch.
    from_the_first = getattr(loop, "fast_forward_on_resume", False)
    if loop.iter > 0 and not from_the_first and not isinstance(batches, PassedOver):
        pass_over(batches, loop.iter)
        loop.dataloader_iterator = PassedOver(batches, loop.iter)


def pass_over(batches: Iterator, count: int) -> None:
    """Bring mmengine's endless iterator, as it is at first, to where it is after so many batches.

    Worker processes have begun to read a few before it is known that any are to be passed over.
    """
    # onedl's mmengine makes its iterator late, which draws a number.
    getattr(batches, "_ensure_iterator", lambda: None)()
    loader, one_epoch = (getattr(batches, name, None) for name in ("_dataloader", "_iterator"))
    if not is_known(loader, one_epoch):
        print_log(
            f"The {count} batches that the run was trained on are read once more, because its data "
            f"loader cannot pass over them.",
            "current",
            logging.WARNING,
        )
        for _ in range(count):
            next(batches)
        return
    begun = min(count, getattr(one_epoch, "_tasks_outstanding", 0))
    for _ in range(count - begun):
        try:
            next(one_epoch._sampler_iter)
        except StopIteration:
            batches._epoch += 1
            set_epoch(loader, batches._epoch)
            one_epoch._sampler_iter = iter(one_epoch._index_sampler)
            next(one_epoch._sampler_iter)
    for _ in range(begun):
        next(batches)


def is_known(loader: object, one_epoch: object) -> bool:
    """Whether the indices of batches are drawn here, and alone say what is read."""
    is_torch = isinstance(loader, DataLoader) and isinstance(one_epoch, _BaseDataLoaderIter)
    return is_torch and loader._dataset_kind == _DatasetKind.Map


def set_epoch(loader: DataLoader, epoch: int) -> None:
    """As mmengine does after an epoch."""
    for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
            return
