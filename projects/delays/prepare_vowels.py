"""Make data/delays/vowels.npz: Japanese vowels of nine speakers, who are the classes.

    python -m projects.delays.prepare_vowels
    python -m projects.delays.prepare_vowels --source WHEEL

The recordings (UCI and UEA archives) come with the package aeon (BSD-3-Clause), which is downloaded
as data: it is neither installed nor imported. Run it from the repository's root.
"""

import argparse
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tools.prepare_cells import download

PACKAGE = "aeon==1.6.0"
MEMBER = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"
CHANNELS, STEPS, HELD_OUT = 12, 29, 5


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("data/delays"))
    parser.add_argument("--source", type=Path, help=f"the wheel of {PACKAGE}, if you have it")
    parsed = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        texts = read_texts(parsed.source or download(Path(scratch), PACKAGE))
    arrays = arrays_of(*texts)
    parsed.out.mkdir(parents=True, exist_ok=True)
    path = parsed.out / "vowels.npz"
    part = path.with_name(f".{path.name}")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(path)
    print(path)


def read_texts(wheel: Path) -> tuple[str, str]:
    """Of the training and the test file; exits with a sentence where they are not there."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            train, test = (archive.read(MEMBER.format(part)) for part in ("TRAIN", "TEST"))
    except (OSError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise SystemExit(
            f"{wheel} has no {MEMBER.format('TRAIN')} that can be read ({error}); download "
            f"{PACKAGE} again"
        ) from error
    return train.decode(), test.decode()


def arrays_of(train: str, test: str) -> dict[str, np.ndarray]:
    """PART_rasters (N, 12, 29) float32, zero after the end, and PART_labels (N,).

    Of each speaker the last five of the training file are for validation.
    """
    series, labels = parsed_series(train)
    arrays = dict(zip(("test_rasters", "test_labels"), parsed_series(test), strict=True))
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held[np.flatnonzero(labels == label)[-HELD_OUT:]] = True
    for part, chosen in (("training", ~held), ("validation", held)):
        arrays[f"{part}_rasters"], arrays[f"{part}_labels"] = series[chosen], labels[chosen]
    return arrays


def parsed_series(text: str) -> tuple[np.ndarray, np.ndarray]:
    lines = text.partition("@data")[2].split()
    series = np.zeros((len(lines), CHANNELS, STEPS), np.float32)
    labels = np.zeros(len(lines), np.uint8)
    for index, line in enumerate(lines):
        *channels, label = line.split(":")
        for channel, values in enumerate(channels):
            found = np.array(values.split(","), np.float32)
            series[index, channel, : len(found)] = found
        labels[index] = int(label) - 1
    return series, labels


if __name__ == "__main__":
    main()
