"""The one form of all data of the study: a file of arrays for each data set.

For every part: `PART_images` (N, channels, height, width), and `PART_maps` (N, height, width),
`PART_labels` (N,) or both; all uint8. In maps 255 is ignored. `classes` has the names, background
first where there are maps.
"""

import hashlib
import tempfile
from pathlib import Path

import numpy as np

PARTS = ("training", "validation", "test")


def digest_of(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def check_digest(what: str, arrays: dict[str, np.ndarray], known: str) -> None:
    """Exits with a sentence where the arrays are not those of the committed results."""
    if (found := digest_of(arrays)) != known:
        raise SystemExit(
            f"{what} differ from those that the study was made with (SHA-256 {found[:12]} in place "
            f"of {known[:12]}): fetch the source again; another release of it needs its own results"
        )


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        fresh = Path(scratch) / path.name
        np.savez_compressed(fresh, **arrays)
        fresh.replace(path)
    counts = ", ".join(f"{len(arrays[f'{part}_images'])} {part}" for part in PARTS)
    print(f"{path}: {counts}; {path.stat().st_size / 1e6:.1f} MB")
