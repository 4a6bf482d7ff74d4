"""Make data/delays/digits.npz: spoken digits of 104 voices as rasters of spikes, in three parts.

    python -m projects.delays.prepare
    python -m projects.delays.prepare --source WHEEL

The digits are spoken by espeak-ng (GPL-3), which comes with the package espeakng-loader. It is
downloaded and used to make the data; neither it nor what it makes is a part of this repository.
Run it from the repository's root.
"""

import argparse
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tools.prepare_cells import download

from .espeak import Espeak
from .spikes import raster_of

PACKAGE = "espeakng-loader==0.2.4"
FOLDER = "espeakng_loader"
LANGUAGES = dict(
    en=["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    de=["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
)
# Words a minute, and pitch from 0 to 100.
MANNERS = ((160, 40), (200, 60))
# Of voices.
PARTS = dict(training=64, validation=16, test=24)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("data/delays"))
    parser.add_argument("--source", type=Path, help=f"the wheel of {PACKAGE}, if you have it")
    parsed = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = parsed.source or download(Path(scratch), PACKAGE)
        folder = unpacked(wheel, Path(scratch))
        arrays = arrays_of(folder)
    parsed.out.mkdir(parents=True, exist_ok=True)
    path = parsed.out / "digits.npz"
    part = path.with_name(f".{path.name}")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(path)
    counts = ", ".join(f"{len(arrays[f'{part}_labels'])} {part}" for part in PARTS)
    print(f"{path}: {counts}; {path.stat().st_size / 1e6:.1f} MB")


def unpacked(wheel: Path, scratch: Path) -> Path:
    """What of the wheel speaks; exits with a sentence where it is not there."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith(f"{FOLDER}/")]
            archive.extractall(scratch, names)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise SystemExit(
            f"{wheel} cannot be read ({error}); download {PACKAGE} again, or leave out --source"
        ) from error
    if not (scratch / FOLDER / "espeak-ng-data").is_dir():
        raise SystemExit(f"{wheel} has no espeak-ng-data; give the wheel of {PACKAGE}")
    return scratch / FOLDER


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    """For every part PART_rasters (N, 32, 40) and PART_labels (N,), both uint8."""
    voices = sorted(path.name for path in (folder / "espeak-ng-data/voices/!v").iterdir())
    order = np.random.default_rng(0).permutation(voices).tolist()
    arrays: dict[str, np.ndarray] = {}
    espeak = Espeak(folder)
    with tqdm(total=len(voices), unit="voice") as bar:
        for part, count in PARTS.items():
            chosen, order = order[:count], order[count:]
            rasters, labels = [], []
            for voice in chosen:
                for raster, label in clips_of(espeak, voice):
                    rasters.append(raster)
                    labels.append(label)
                bar.update()
            arrays[f"{part}_rasters"] = np.stack(rasters)
            arrays[f"{part}_labels"] = np.array(labels, np.uint8)
    return arrays


def clips_of(espeak: Espeak, voice: str) -> Iterator[tuple[np.ndarray, int]]:
    """Rasters and classes, 0 to 9 English and 10 to 19 German; what a voice does not say is left
    out."""
    for first, (language, words) in enumerate(LANGUAGES.items()):
        for digit, word in enumerate(words):
            for rate, pitch in MANNERS:
                sound = espeak.say(word, f"{language}+{voice}", rate, pitch)
                if sound.any():
                    yield raster_of(sound, espeak.rate), len(words) * first + digit


if __name__ == "__main__":
    main()
