"""Which language is spoken: telephone prompts of Asterisk in five languages, as log-mel pictures.

From Debian's asterisk-core-sounds-LANGUAGE-wav (CC-BY-SA-3.0, Russian and Italian CC-BY-3.0), which
are fetched and not passed on. The same prompts exist in all languages; they are split by name, so
that a sentence is in one part only. Language is also speaker and studio, but for English and
Spanish, which have the same voice.

A clip, 8 kHz, is cut or padded to 2 s. Its picture has 64 mel bands of 50 to 3800 Hz (HTK's scale)
in 200 steps of 10 ms, in decibels: 255 is the clip's loudest cell, 0 is 60 dB below and less.
Padding is digital silence; without that floor it would take most of the range.
"""

import hashlib
import tempfile
import wave
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .arrays import PARTS, check_digest, write_arrays
from .debian import unpack

LANGUAGES = ("en", "es", "fr", "it", "ru")
PACKAGES = [f"asterisk-core-sounds-{language}-wav" for language in LANGUAGES]
RATE = 8000
LEAST, LENGTH = RATE // 5, 2 * RATE  # samples of the shortest clip that is used, and of a picture
WINDOW, HOP, BINS = 256, 80, 512
BANDS, STEPS = 64, 200
FREQUENCIES = (50, 3800)
DECIBELS = 60
SHA256 = "bc7836a6b6bd7a4603dad2f11e9ecfa7df95cb3271d9df54d0c335fe837d93ee"


def prepare(out: Path, source: Path | None = None) -> None:
    """source: a folder that holds the sounds of all languages, as the Debian packages do."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = source or unpack(PACKAGES, Path(scratch))
        parts = {part: ([], []) for part in PARTS}
        for label, language in enumerate(LANGUAGES):
            for name, clip in clips(folder, language):
                clips_of_part, labels = parts[part_of(name)]
                clips_of_part.append(clip)
                labels.append(label)
    heard, arrays = {}, dict(classes=np.array(LANGUAGES))
    for part, (clips_of_part, labels) in parts.items():
        heard[part] = np.stack(clips_of_part)
        pictures = [picture_of(clip) for clip in tqdm(clips_of_part, desc=part, unit="clip")]
        arrays[f"{part}_images"] = np.stack(pictures)[:, None]
        arrays[f"{part}_labels"] = np.array(labels, np.uint8)
    # Not of the pictures: a cell on the edge of two greys may round otherwise elsewhere.
    check_digest("The clips", heard, SHA256)
    write_arrays(out / "prompts.npz", arrays)


def clips(folder: Path, language: str) -> list[tuple[str, np.ndarray]]:
    """Names and sound of a language's prompts, (16000,) int16; exits where there are none."""
    roots = [path for path in folder.rglob(f"{language}_*") if path.is_dir()]
    if len(roots) != 1:
        raise SystemExit(
            f"{folder} holds {len(roots)} folders {language}_* in place of one: give the unpacked "
            f"packages {', '.join(PACKAGES)} as --source"
        )
    found = []
    for path in sorted(roots[0].rglob("*.wav")):
        name = path.relative_to(roots[0]).with_suffix("").as_posix()
        sound = read_wave(path)
        if not name.startswith("silence/") and len(sound) >= LEAST:
            clip = np.zeros(LENGTH, np.int16)
            clip[: len(sound)] = sound[:LENGTH]
            found.append((name, clip))
    return found


def read_wave(path: Path) -> np.ndarray:
    try:
        with wave.open(str(path)) as file:
            form = file.getnchannels(), file.getsampwidth(), file.getframerate()
            content = file.readframes(file.getnframes())
    except (EOFError, wave.Error) as error:
        raise SystemExit(f"{path} is damaged ({error}): fetch its package again") from error
    if form != (1, 2, RATE):
        raise SystemExit(f"{path} has {form} channels, bytes and Hz in place of (1, 2, {RATE})")
    return np.frombuffer(content, "<i2")


def part_of(name: str) -> str:
    """The part of a prompt, the same in all languages: a fifth tests, a tenth validates."""
    tenth = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10
    return "test" if tenth < 2 else "validation" if tenth == 2 else "training"


def picture_of(clip: np.ndarray) -> np.ndarray:
    """Log-mel picture (64, 200), uint8, of a clip (16000,)."""
    padded = np.pad(clip / 2**15, WINDOW // 2)
    starts = HOP * np.arange(STEPS)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = padded[starts[:, None] + np.arange(WINDOW)] * hann
    power = np.abs(np.fft.rfft(frames, BINS)) ** 2
    levels = 10 * np.log10(np.maximum(mel_bands() @ power.T, 1e-10))
    floor = levels.max() - DECIBELS
    return np.round(255 * (levels.clip(floor) - floor) / DECIBELS).astype(np.uint8)


def mel_bands(
    rate: int = RATE,
    bins: int = BINS,
    bands: int = BANDS,
    frequencies: tuple[float, float] = FREQUENCIES,
) -> np.ndarray:
    """Triangles of equal width on HTK's mel scale, (bands, bins // 2 + 1), over the cells of a
    spectrum."""
    low, high = (2595 * np.log10(1 + edge / 700) for edge in frequencies)
    edges = 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)
    cells = np.arange(bins // 2 + 1) * rate / bins
    left, centre, right = (edges[i : i + bands, None] for i in range(3))
    rising, falling = (cells - left) / (centre - left), (right - cells) / (right - centre)
    return np.minimum(rising, falling).clip(0)
