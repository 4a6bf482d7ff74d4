"""Data in memory, handed over as whole batches, and what makes inputs and targets of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DATASETS, FUNCTIONS, MODELS
from mmengine.structures import PixelData
from torch import Tensor
from torch.utils.data import Dataset

from mmdcls.errors import InputError

TARGETS = ("maps", "labels")


@DATASETS.register_module()
class ArrayDataset(Dataset):
    """A part of a file that `prepare.py` made, read whole.

    A loader gets batches: dict(images (N, C, H, W), targets), uint8; targets are label maps
    (N, H, W) or labels (N,). Random numbers are numpy's, which a Runner seeds, and the same
    whatever the model draws. Use it without worker processes.

    part: "training", "validation" or "test"; target: "maps" or "labels".
    crop: height and width of a random window; None takes images whole.
    flips: axes along which every second image is turned round, -1 for columns, -2 for rows.
    roll: largest random shift along the columns, round the end.
    blank: dict(rows=..., columns=...): so many neighbouring ones are set to 0, at random places.
    """

    def __init__(
        self,
        file: str,
        part: str,
        target: str,
        crop: tuple[int, int] | None = None,
        flips: Sequence[int] = (),
        roll: int = 0,
        blank: dict[str, int] | None = None,
    ) -> None:
        if target not in TARGETS:
            raise ValueError(f"target={target!r} must be one of {', '.join(TARGETS)}")
        if not Path(file).is_file():
            raise InputError(
                f"There is no {file}; make it by its project's prepare, such as "
                f"python -m projects.position_study.prepare, from the repository's root."
            )
        with np.load(file) as arrays:
            if f"{part}_{target}" not in arrays:
                raise InputError(f"{file} has no {target} of a part {part!r}.")
            self.images, self.targets = arrays[f"{part}_images"], arrays[f"{part}_{target}"]
            self.metainfo = dict(classes=tuple(map(str, arrays["classes"])))
        self.crop, self.flips, self.roll, self.blank = crop, flips, roll, blank or {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        images, targets = self.images[indices], self.targets[indices]
        maps = targets if targets.ndim == 3 else None
        if self.crop is not None:
            images, maps = self._cropped(images, maps)
        for axis in self.flips:
            turned = np.random.rand(len(images)) < 0.5
            for array in (images, maps):
                if array is not None:
                    array[turned] = np.flip(array[turned], axis)
        for index in range(len(images)) if self.roll else ():
            shift = np.random.randint(-self.roll, self.roll + 1)
            for array in (images, maps):
                if array is not None:
                    array[index] = np.roll(array[index], shift, -1)
        for axis, name in ((-2, "rows"), (-1, "columns")):
            for image in images if name in self.blank else ():
                start = np.random.randint(image.shape[axis] - self.blank[name] + 1)
                image.swapaxes(axis, 0)[start : start + self.blank[name]] = 0
        targets = targets if maps is None else maps
        return dict(images=torch.from_numpy(images), targets=torch.from_numpy(targets))

    def _cropped(
        self, images: np.ndarray, maps: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        shape = images.shape[-2:]
        rooms = [whole - part + 1 for whole, part in zip(shape, self.crop, strict=True)]
        corners = np.stack([np.random.randint(room, size=len(images)) for room in rooms], 1)
        height, width = self.crop

        def cut(arrays: np.ndarray) -> np.ndarray:
            windows = [
                array[..., row : row + height, column : column + width]
                for array, (row, column) in zip(arrays, corners, strict=True)
            ]
            return np.stack(windows)

        return cut(images), maps if maps is None else cut(maps)


@FUNCTIONS.register_module()
def whole_batch(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The collate function of a data set that hands out batches."""
    return batch


@MODELS.register_module()
class StudyPreprocessor(BaseDataPreprocessor):
    """Brings a batch to the device and normalises it there.

    Labels stay a tensor; label maps become what mmsegmentation calls data samples.

    mean, std: of every channel, in grey levels.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in dict(mean=mean, std=std).items():
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict[str, Tensor], training: bool = False) -> dict:
        data = self.cast_data(data)
        inputs = (data["images"].float() - self.mean) / self.std
        targets = data["targets"].long()
        samples = targets if targets.ndim == 1 else [sample_of(map) for map in targets]
        return dict(inputs=inputs, data_samples=samples)


def sample_of(label_map: Tensor):
    from mmseg.structures import SegDataSample

    size = tuple(label_map.shape)
    sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size))
    sample.gt_sem_seg = PixelData(data=label_map[None])
    return sample
