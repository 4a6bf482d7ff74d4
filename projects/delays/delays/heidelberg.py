"""The files of the Heidelberg spiking data sets: SHD, SSC, and others of the same layout.

`spikes/times` (seconds) and `spikes/units` (channels) have an array for every clip, `labels` a
class and `extra/speaker` a speaker. Numbers of clips are those of the file.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmdcls.errors import InputError

from .registry import DATASETS

NEEDED = ("spikes/times", "spikes/units", "labels", "extra/speaker")
UNITS = 700
MOST = np.iinfo(np.uint8).max


@DATASETS.register_module()
class SpikeFile(Dataset):
    """Counts of spikes on a fixed grid of time: dict(inputs (N, channels, steps) uint8, labels).

    pooled: so many neighbouring channels are one.
    step, duration: in seconds; spikes later than duration are left out.
    speakers: None takes all; "held_out" the last `held_out` of those in the file, by number, and
        "others" the others. So a validation part has voices that training has not.
    turned: classes are doubled as in `ReversedDigits`: 2 c as it is, 2 c + 1 reversed in time, of
        every clip both.
    """

    def __init__(
        self,
        file: str,
        pooled: int = 5,
        step: float = 0.01,
        duration: float = 1.4,
        speakers: str | None = None,
        held_out: int = 2,
        turned: bool = False,
    ) -> None:
        if speakers not in (None, "others", "held_out"):
            raise ValueError(f"speakers={speakers!r} must be None, 'others' or 'held_out'")
        if pooled < 1 or UNITS % pooled:
            raise ValueError(f"pooled={pooled} must divide the {UNITS} channels of the file")
        if not Path(file).is_file():
            raise InputError(
                f"There is no {file}: fetch it from https://zenkelab.org/datasets, and hand it to "
                f"python -m projects.delays.prepare_heidelberg."
            )
        try:
            # Nothing else of the project needs it.
            import h5py
        except ImportError as error:
            raise InputError("SHD and SSC are read by h5py: pip install h5py.") from error
        try:
            self.file = h5py.File(file)
        except OSError as error:
            raise InputError(f"{file} cannot be read ({error}); fetch it again.") from error
        if missing := [name for name in NEEDED if name not in self.file]:
            raise InputError(f"{file} has no {', '.join(missing)}; it is not of SHD's layout.")
        if len({len(self.file[name]) for name in NEEDED}) > 1:
            counts = ", ".join(f"{len(self.file[name])} {name}" for name in NEEDED)
            raise InputError(f"{file} has {counts}, and not one of each for every clip.")
        self.pooled, self.step = pooled, step
        self.steps = round(duration / step)
        self.turned = turned
        spoken = self.file["extra/speaker"][:]
        kept = np.ones(len(spoken), bool)
        if speakers:
            known = np.unique(spoken)
            if not 0 < held_out < len(known):
                raise InputError(
                    f"held_out={held_out} of the {len(known)} speakers of {file} leaves one part "
                    f"without any; give at least 1, and fewer than there are."
                )
            kept = np.isin(spoken, known[-held_out:]) == (speakers == "held_out")
        self.indices = np.flatnonzero(kept)
        self.labels = self.file["labels"][:].astype(np.int64)[self.indices]
        self.metainfo: dict = {}

    def __len__(self) -> int:
        return len(self.indices) * (1 + self.turned)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        inputs, labels = [], []
        for index in indices:
            clip, is_reversed = divmod(index, 2) if self.turned else (index, 0)
            raster = self.raster(int(self.indices[clip]))
            inputs.append(raster[:, ::-1] if is_reversed else raster)
            label = self.labels[clip]
            labels.append(2 * label + is_reversed if self.turned else label)
        return dict(
            inputs=torch.from_numpy(np.stack(inputs)), labels=torch.from_numpy(np.array(labels))
        )

    def raster(self, clip: int) -> np.ndarray:
        # Half precision, as in the files, has steps of a millisecond after the first second.
        times = self.file["spikes/times"][clip].astype(np.float64)
        units = self.file["spikes/units"][clip].astype(np.int64)
        if len(units) != len(times) or not ((units >= 0) & (units < UNITS)).all():
            raise InputError(
                f"Clip {clip} of {self.file.filename} has {len(times)} times and {len(units)} "
                f"units, which must be as many, and from 0 to {UNITS - 1}."
            )
        steps = np.floor(times / self.step).astype(np.int64)
        inside = (steps >= 0) & (steps < self.steps)
        counts = np.zeros((UNITS // self.pooled, self.steps), np.int64)
        np.add.at(counts, (units[inside] // self.pooled, steps[inside]), 1)
        return counts.clip(max=MOST).astype(np.uint8)
