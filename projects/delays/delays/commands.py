"""Google's Speech Commands: a folder of a second of sound for each word and speaker."""

import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmdcls.errors import InputError

from .mel import log_mel
from .registry import DATASETS

RATE, STEP, BANDS = 16000, 0.01, 140
# In decibels: what is silent, and by what levels are divided.
FLOOR, SCALE = -40.0, 40.0
LISTS = dict(validation="validation_list.txt", test="testing_list.txt")


@DATASETS.register_module()
class SpeechCommands(Dataset):
    """Log-mel spectrograms as currents: dict(inputs (N, 140, 100) float32, labels (N,)).

    folder: with a folder of WAV files for each word, and the lists that make the parts. Speakers of
        one part are in no other, by those lists.
    part: "training", "validation" or "test".
    """

    def __init__(self, folder: str, part: str) -> None:
        root = Path(folder)
        if part not in ("training", *LISTS):
            raise ValueError(f"part={part!r} must be one of training, {', '.join(LISTS)}")
        if missing := [name for name in LISTS.values() if not (root / name).is_file()]:
            raise InputError(
                f"{folder} has no {', '.join(missing)}: unpack speech_commands_v0.02.tar.gz there, "
                f"from http://download.tensorflow.org/data."
            )
        listed = {name: set((root / file).read_text().split()) for name, file in LISTS.items()}
        self.words = sorted(
            path.name for path in root.iterdir() if path.is_dir() and path.name[0] not in "_."
        )
        names = [
            f"{word}/{path.name}" for word in self.words for path in (root / word).glob("*.wav")
        ]
        if part == "training":
            held = listed["validation"] | listed["test"]
            names = [name for name in names if name not in held]
        else:
            names = [name for name in names if name in listed[part]]
        self.root, self.names = root, sorted(names)
        self.metainfo = dict(classes=tuple(self.words))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        names = [self.names[index] for index in indices]
        currents = np.stack([currents_of(self.root / name) for name in names])
        labels = [self.words.index(name.partition("/")[0]) for name in names]
        return dict(inputs=torch.from_numpy(currents), labels=torch.tensor(labels))


def currents_of(path: Path) -> np.ndarray:
    """(140, 100) float32, 0 where it is silent. Raises InputError for what is not such a file."""
    try:
        with wave.open(str(path)) as file:
            kind = file.getframerate(), file.getnchannels(), file.getsampwidth()
            sound = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise InputError(f"{path} cannot be read ({error}); unpack the archive again.") from error
    if kind != (RATE, 1, 2):
        raise InputError(f"{path} is not of 16 kHz, one channel and 16 bits.")
    if len(sound) % 2:
        raise InputError(f"{path} is cut short; unpack the archive again.")
    hop = round(STEP * RATE)
    samples = np.frombuffer(sound, "<i2")[:RATE] / 2**15
    samples = np.pad(samples, (0, RATE + hop - len(samples)))
    decibel = log_mel(samples, RATE, hop, BANDS, 20.0, RATE / 2)
    return ((decibel - FLOOR) / SCALE).clip(0).astype(np.float32)
