"""Task 1: classes that differ in nothing but when channels fire after one another.

A class is an offset for each of 20 channels, 0 to 20 steps. In a clip every channel fires once, its
offset after an onset that is the clip's, one step early, in time or late; one of ten of these
spikes is missing, and noise fires in 2 of 100 cells. So every channel fires as often in every
class, and delays that undo the offsets bring all spikes of a class together.
"""

import numpy as np

CHANNELS, CLASSES, STEPS, LATEST = 20, 10, 60, 20
JITTER, MISSING, NOISE = 1, 0.1, 0.02
PARTS = dict(training=2000, validation=1000, test=2000)


def offsets_of(seed: int) -> np.ndarray:
    """(classes, channels), of the task of this seed: the truth that delays can learn."""
    return np.random.default_rng([seed, 0]).integers(LATEST + 1, size=(CLASSES, CHANNELS))


def clips_of(part: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rasters (N, channels, steps) uint8, and labels (N,)."""
    count = PARTS[part]
    random = np.random.default_rng([seed, 1 + list(PARTS).index(part)])
    labels = random.integers(CLASSES, size=count)
    onsets = random.integers(JITTER, STEPS - LATEST - JITTER, size=(count, 1))
    jitter = random.integers(-JITTER, JITTER + 1, size=(count, CHANNELS))
    times = onsets + offsets_of(seed)[labels] + jitter
    rasters = random.random((count, CHANNELS, STEPS)) < NOISE
    fires = random.random((count, CHANNELS)) >= MISSING
    clip, channel = fires.nonzero()
    rasters[clip, channel, times[fires]] = True
    return rasters.astype(np.uint8), labels


def recovered(delays: np.ndarray, offsets: np.ndarray, within: int = 1) -> float:
    """The share of synapses whose delay is the true one, to so many steps.

    delays, offsets  (classes, channels), in steps

    True delays are those after which all spikes of a class arrive together: delay + offset is the
    same for all its channels. When that is, is the network's affair: the median says.
    """
    arrivals = delays + offsets
    return float((abs(arrivals - np.median(arrivals, 1, keepdims=True)) <= within).mean())
