"""Log-mel spectrograms, in numpy."""

import numpy as np


def log_mel(
    samples: np.ndarray, rate: int, hop: int, bands: int, lowest: float, highest: float
) -> np.ndarray:
    """Decibels, (bands, frames). Frames are of two hops, with a Hann window, one every hop; what
    does not fill a frame at the end is left out.

    rate: samples a second; lowest, highest: in Hz.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, 2 * hop)[::hop]
    power = abs(np.fft.rfft(frames * np.hanning(2 * hop))) ** 2
    filters = mel_filters(2 * hop, rate, bands, lowest, highest)
    return 10 * np.log10(power @ filters.T + 1e-12).T


def mel_filters(samples: int, rate: int, bands: int, lowest: float, highest: float) -> np.ndarray:
    """(bands, samples // 2 + 1), triangles that are even in mel."""
    edges = mel_inverse(np.linspace(mel(lowest), mel(highest), bands + 2))
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.minimum(rise, fall).clip(0)


def mel(frequency: float) -> float:
    return 2595 * np.log10(1 + frequency / 700)


def mel_inverse(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)
