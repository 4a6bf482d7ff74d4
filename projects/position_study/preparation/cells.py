"""Cells and nuclei of the demo's recording, in three parts that share no column.

Columns of every frame, as parts differ in space: the frames show the same cells again. The gaps
are as wide as most cells. The first lies in the scratch, where there are few; the second is where
the labels are worst (of the visible nuclei in columns 416 to 447, 31 % have no label). The test
part has the best labels of nuclei: of the visible ones 0 to 4 % are without.

Images are twice the recording's size: a nucleus is a dozen pixels wide there.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from tools.prepare_cells import CLASSES, as_rgb, download, label_map, read_recording

from .arrays import check_digest, write_arrays

COLUMNS = dict(training=(0, 304), validation=(336, 416), test=(448, 576))
SHA256 = "2dab172df2cc62e85a01d4d13b4dc0cf01ec2012039076d2deedb664b4137c49"


def prepare(out: Path, source: Path | None = None) -> None:
    """source: the wheel of ndev-sampledata."""
    with tempfile.TemporaryDirectory() as scratch:
        recording = read_recording(source or download(Path(scratch)))
    arrays = dict(classes=np.array(CLASSES))
    for part, columns in COLUMNS.items():
        frames = recording[..., slice(*columns)].swapaxes(0, 1)
        images, maps = [], []
        for stain, phase, nuclei, cells in tqdm(frames, desc=part, unit="frame"):
            image = Image.fromarray(as_rgb(stain, phase))
            size = (2 * image.width, 2 * image.height)
            images.append(np.asarray(image.resize(size, Image.Resampling.BILINEAR)))
            maps.append(label_map(nuclei, cells).repeat(2, 0).repeat(2, 1))
        arrays[f"{part}_images"] = np.stack(images).transpose(0, 3, 1, 2)
        arrays[f"{part}_maps"] = np.stack(maps)
    # Not of the images, whose greys depend on the release of Pillow.
    labels = {name: array for name, array in arrays.items() if name.endswith("maps")}
    check_digest("The label maps", labels, SHA256)
    write_arrays(out / "cells.npz", arrays)
