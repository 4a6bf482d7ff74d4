"""Volumes in memory, and what makes inputs of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DATASETS, MODELS
from torch import Tensor
from torch.utils.data import Dataset

from mmdcls.errors import InputError

# L, H and W, counted from the end.
AXES = (-3, -2, -1)


@DATASETS.register_module()
class VolumeDataset(Dataset):
    """A part of a file that `prepare.py` made, read whole.

    Items are dict(images (C, L, H, W), targets (L, H, W)), uint8. Random numbers are numpy's, which
    a Runner seeds, and the same whatever the model draws. Use it without worker processes.

    part: "training", "validation" or "test".
    crop: cells of a random window along every axis; None takes volumes whole.
    flips: axes along which every second window is turned round, -1 for the last to -3.
    channels: which of the file's an item has; None takes all.
    """

    def __init__(
        self,
        file: str,
        part: str,
        crop: tuple[int, int, int] | None = None,
        flips: Sequence[int] = (),
        channels: Sequence[int] | None = None,
    ) -> None:
        if not Path(file).is_file():
            raise InputError(
                f"There is no {file}; run python -m projects.volumes.prepare from the "
                f"repository's root."
            )
        with np.load(file) as arrays:
            if f"{part}_maps" not in arrays:
                raise InputError(f"{file} has no part {part!r}.")
            self.images, self.targets = arrays[f"{part}_images"], arrays[f"{part}_maps"]
            self.metainfo = dict(classes=tuple(map(str, arrays["classes"])))
        if channels is not None:
            there = self.images.shape[1]
            if not channels or not set(channels) <= set(range(there)):
                raise InputError(f"channels={channels} of {file} must be of its {there}, from 0.")
            self.images = self.images[:, list(channels)]
        room = self.targets.shape[1:]
        if crop is not None and any(cells > there for cells, there in zip(crop, room, strict=True)):
            raise InputError(f"crop={crop} is larger than the volumes of {file}, which are {room}.")
        if wrong := [axis for axis in flips if axis not in AXES]:
            # From the front, images and targets count differently.
            raise InputError(
                f"flips has the axis {wrong[0]}; there are {', '.join(map(str, AXES))}."
            )
        self.crop, self.flips = crop, flips

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        arrays = dict(images=self.images[index], targets=self.targets[index])
        if self.crop is not None:
            rooms = zip(self.targets.shape[1:], self.crop, strict=True)
            corner = [np.random.randint(there - cells + 1) for there, cells in rooms]
            window = tuple(
                slice(start, start + cells) for start, cells in zip(corner, self.crop, strict=True)
            )
            arrays = {name: array[(..., *window)] for name, array in arrays.items()}
        for axis in self.flips:
            if np.random.rand() < 0.5:
                arrays = {name: np.flip(array, axis) for name, array in arrays.items()}
        return {
            name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()
        }


@MODELS.register_module()
class VolumePreprocessor(BaseDataPreprocessor):
    """Brings a batch to the device and normalises it there.

    mean, std: of every channel, in grey levels.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in dict(mean=mean, std=std).items():
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1, 1), persistent=False)

    def forward(self, data: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        data = self.cast_data(data)
        inputs = (data["images"].float() - self.mean) / self.std
        return dict(inputs=inputs, data_samples=data["targets"].long())
