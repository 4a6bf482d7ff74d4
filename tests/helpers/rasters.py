"""Spikes in place of the digits of projects/delays."""

from pathlib import Path

import numpy as np


def write_digits(path: Path, count: int = 40) -> None:
    random = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for part in ("training", "validation", "test"):
        rasters = random.random((count, 32, 40)) < 0.1
        arrays |= {f"{part}_rasters": rasters.astype(np.uint8)}
        arrays |= {f"{part}_labels": (np.arange(count) % 20).astype(np.uint8)}
    np.savez(path, **arrays)
