"""Sound files as waveforms."""

import wave
from math import gcd
from pathlib import Path

import numpy as np

from mmdcls.errors import InputError

FULL_SCALE = 2**15


def read_sound(path: Path, rate: int) -> np.ndarray:
    """Samples of one channel at this rate, int16; several channels become their mean.

    WAV of 16 bits is read by Python itself, everything else by soundfile. Raises InputError for a
    file that is not there, is damaged, or needs soundfile where it is not installed.
    """
    try:
        given, samples = read_wave(path) or read_by_soundfile(path)
    except FileNotFoundError as error:
        raise InputError(f"There is no {path}.") from error
    if samples.ndim == 2:
        samples = samples.mean(1)
    if given != rate:
        samples = resampled(samples.astype(float), given, rate)
    if samples.dtype != np.int16:
        samples = samples.round().clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return samples


def read_wave(path: Path) -> tuple[int, np.ndarray] | None:
    """Its rate, and samples (n,) or (n, channels); None for what is not WAV of 16 bits."""
    try:
        with wave.open(str(path)) as file:
            channels, width, rate = file.getparams()[:3]
            content = file.readframes(file.getnframes())
    except (EOFError, wave.Error):
        return None
    if width != 2:
        return None
    samples = np.frombuffer(content[: len(content) // (2 * channels) * 2 * channels], "<i2")
    return rate, samples if channels == 1 else samples.reshape(-1, channels)


def read_by_soundfile(path: Path) -> tuple[int, np.ndarray]:
    try:
        import soundfile
    except ImportError as error:
        raise InputError(
            f"{path} is no WAV of 16 bits, and other formats need soundfile, which is not "
            f'installed: pip install -c constraints.txt -e ".[audio]".'
        ) from error
    try:
        samples, rate = soundfile.read(path)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path} cannot be read ({error}); is it a sound file, and whole?") from (
            error
        )
    if not np.isfinite(samples).all():
        raise InputError(f"{path} has samples that are not finite; mend it, or leave it out.")
    return rate, samples * FULL_SCALE


def resampled(samples: np.ndarray, given: int, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    common = gcd(given, rate)
    return resample_poly(samples, rate // common, given // common)


def fitted(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut, or padded with silence, at the end."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def write_sound(path: Path, samples: np.ndarray, rate: int) -> None:
    """samples: (n,) int16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
