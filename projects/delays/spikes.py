"""Sound to spikes: each band of a log-mel spectrogram fires where its level rises or falls."""

import numpy as np

from .delays.mel import log_mel

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
    decibel = log_mel(samples, rate, hop, BANDS, LOWEST, HIGHEST)[:, : STEPS + 1]
    above = (decibel - decibel.max() + RANGE) / RANGE
    levels = np.floor(LEVELS * above.clip(0, 1))
    change = np.diff(levels)
    return np.concatenate((change > 0, change < 0)).astype(np.uint8)
