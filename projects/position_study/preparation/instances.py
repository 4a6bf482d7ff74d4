"""The same parts of the same recording as cells, as images and COCO files of instances."""

import shutil
import tempfile
from pathlib import Path

from tools.prepare_cells import download, read_recording, write_side

from .cells import COLUMNS


def prepare(out: Path, source: Path | None = None) -> None:
    """Write the folder cells_instances anew; source: the wheel of ndev-sampledata."""
    target = out / "cells_instances"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=out) as scratch:
        recording = read_recording(source or download(Path(scratch)))
        fresh = Path(scratch) / "fresh"
        for part, columns in COLUMNS.items():
            write_side(fresh, part, recording[..., slice(*columns)])
        if target.exists():
            shutil.move(target, Path(scratch) / "old")
        fresh.rename(target)
    print(f"{target} is made")
