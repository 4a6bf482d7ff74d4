"""Rasters: spikes of channels over time, handed over as whole batches.

dict(inputs (N, channels, steps) uint8, labels (N,) int64); random numbers are numpy's.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmdcls.errors import InputError

from .polychrony import PARTS, clips_of
from .registry import DATASETS, FUNCTIONS


class Rasters(Dataset):
    """rasters (N, channels, steps) uint8, labels (N,).

    shift: largest random shift in time, to either side; what comes in is empty.
    drop: share of spikes that are left out, at random.
    """

    def __init__(
        self, rasters: np.ndarray, labels: np.ndarray, shift: int = 0, drop: float = 0.0
    ) -> None:
        self.rasters, self.labels = rasters, labels.astype(np.int64)
        self.shift, self.drop = shift, drop
        self.metainfo: dict = {}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        rasters, labels = self.rasters[indices], self.labels[indices]
        if self.shift:
            rasters = np.stack([shifted(raster, self.shift) for raster in rasters])
        if self.drop:
            rasters = rasters * (np.random.random(rasters.shape) >= self.drop)
        return dict(inputs=torch.from_numpy(rasters), labels=torch.from_numpy(labels))


def shifted(raster: np.ndarray, most: int) -> np.ndarray:
    by = np.random.randint(-most, most + 1)
    padded = np.pad(raster, ((0, 0), (most, most)))
    return padded[:, most - by : most - by + raster.shape[1]]


@DATASETS.register_module()
class Polychrony(Rasters):
    """Task 1, made on the spot: see `polychrony`. seed: of the task, its classes and its clips."""

    def __init__(self, part: str, seed: int = 0) -> None:
        if part not in PARTS:
            raise ValueError(f"part={part!r} must be one of {', '.join(PARTS)}")
        super().__init__(*clips_of(part, seed))


@DATASETS.register_module()
class ReversedDigits(Rasters):
    """Task 2: spoken digits, each as it is (class 2 d) and reversed in time (class 2 d + 1).

    both: every clip both ways, for evaluation; otherwise a way at random each time.
    """

    def __init__(self, file: str, part: str, both: bool, shift: int = 0, drop: float = 0.0) -> None:
        if not Path(file).is_file():
            raise InputError(
                f"There is no {file}; run python -m projects.delays.prepare from the repository's "
                f"root."
            )
        with np.load(file) as arrays:
            rasters, digits = arrays[f"{part}_rasters"], arrays[f"{part}_labels"].astype(np.int64)
        self.both = both
        if both:
            rasters = np.concatenate((rasters, rasters[..., ::-1]))
            digits = np.concatenate((2 * digits, 2 * digits + 1))
        super().__init__(rasters, digits, shift, drop)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        batch = super().__getitems__(indices)
        if self.both:
            return batch
        turned = torch.from_numpy(np.random.random(len(indices)) < 0.5)
        inputs = torch.where(turned[:, None, None], batch["inputs"].flip(-1), batch["inputs"])
        return dict(inputs=inputs, labels=2 * batch["labels"] + turned)


@DATASETS.register_module()
class Vowels(Rasters):
    """Currents (N, 12, 29) float32 in place of spikes; labels are speakers."""

    def __init__(self, file: str, part: str) -> None:
        if not Path(file).is_file():
            raise InputError(
                f"There is no {file}; run python -m projects.delays.prepare_vowels from the "
                f"repository's root."
            )
        with np.load(file) as arrays:
            super().__init__(arrays[f"{part}_rasters"], arrays[f"{part}_labels"])


@FUNCTIONS.register_module()
def whole_batch(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The collate function of a data set that hands out batches."""
    return batch
