"""Sound to spikes: each band of a log-mel spectrogram fires where its level rises or falls."""

import numpy as np

BANDS, STEPS, HOP = 16, 40, 0.015
LOWEST, HIGHEST = 80.0, 8000.0
RANGE, LEVELS = 50.0, 5
# Beside a peak of 1: what keeps silence from having a level.
NOISE = 1e-4


def raster_of(sound: np.ndarray, rate: int) -> np.ndarray:
    """(2 BANDS, STEPS) uint8: rises, then falls; of the first 0.6 s.

    Levels are steps of 10 dB, from 50 dB below the clip's loudest cell up to it.
    """
    hop = round(HOP * rate)
    samples = sound / max(abs(sound.astype(float)).max(), 1)
    samples = np.pad(samples[: STEPS * hop], (hop, hop * (STEPS + 2)))
    samples += NOISE * np.random.default_rng(0).standard_normal(len(samples))
    frames = np.stack([samples[t * hop : (t + 2) * hop] for t in range(STEPS + 1)])
    power = abs(np.fft.rfft(frames * np.hanning(2 * hop))) ** 2
    decibel = 10 * np.log10(power @ mel_bands(2 * hop, rate).T + 1e-12)
    above = (decibel - decibel.max() + RANGE) / RANGE
    levels = np.floor(LEVELS * above.clip(0, 1)).T
    change = np.diff(levels)
    return np.concatenate((change > 0, change < 0)).astype(np.uint8)


def mel_bands(samples: int, rate: int) -> np.ndarray:
    """(BANDS, samples // 2 + 1), triangles that are even in mel."""
    edges = mel_inverse(np.linspace(mel(LOWEST), mel(HIGHEST), BANDS + 2))
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.minimum(rise, fall).clip(0)


def mel(frequency: float) -> float:
    return 2595 * np.log10(1 + frequency / 700)


def mel_inverse(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)
