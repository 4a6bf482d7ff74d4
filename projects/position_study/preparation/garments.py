"""Garments among pieces of others: 64-pixel canvases made of Fashion-MNIST.

One garment of Fashion-MNIST (MIT; arXiv 1708.07747; Debian's dataset-fashion-mnist), 1.0 to 2.2
times its size, stands at a random place before three round pieces cut from garments of other
classes. A piece looks like a garment from near: what a pixel belongs to is decided by the shape
around it, up to half a canvas away.

Labels are the class of the garment; label maps have 1 + class in the garment's pixels and 0
elsewhere, the pieces included. Canvases for training and validation take different garments of
Fashion-MNIST's training part, those for the test its test part.
"""

import gzip
import tempfile
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .arrays import check_digest, write_arrays
from .debian import unpack

PACKAGE = "dataset-fashion-mnist"
CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
COUNTS = dict(training=4000, validation=1500, test=3000)
HELD_BACK = 10_000  # garments at the end of Fashion-MNIST's training part, for validation
SEED = 20_200_523
CANVAS = 64
SCALES = (1.0, 2.2)
PIECES = 3
RADII = (6, 13)  # of a piece, in pixels of the canvas
# Fashion-MNIST's background is 0, with faint specks along the seams of some garments.
LEAST_LIT = 16
SHA256 = "1b43a54a1ae3e796fff2886ad1a1f3381481b0c97024aa0e847b716df1abdf26"


def prepare(out: Path, source: Path | None = None) -> None:
    """source: a folder that holds the four IDX files, as the Debian package does."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = source or unpack([PACKAGE], Path(scratch))
        known, test = read_fashion(folder, "train"), read_fashion(folder, "t10k")
    pools = dict(
        training=[array[:-HELD_BACK] for array in known],
        validation=[array[-HELD_BACK:] for array in known],
        test=test,
    )
    arrays = dict(classes=np.array(("background", *CLASSES)))
    for index, (part, count) in enumerate(COUNTS.items()):
        made = canvases(*pools[part], count, SEED + index, part)
        for name, array in zip(("images", "maps", "labels"), made, strict=True):
            arrays[f"{part}_{name}"] = array
    check_digest("The canvases", arrays, SHA256)
    write_arrays(out / "garments.npz", arrays)


def read_fashion(folder: Path, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and classes (N,) of a part, uint8; exits where they are not there."""
    arrays = []
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        name = f"{prefix}-{kind}-ubyte.gz"
        path = next(folder.rglob(name), None)
        if path is None:
            raise SystemExit(f"{folder} holds no {name}: give the unpacked {PACKAGE} as --source")
        try:
            content = gzip.decompress(path.read_bytes())
        except (EOFError, OSError, zlib.error) as error:
            raise SystemExit(f"{path} is damaged ({error}): fetch {PACKAGE} again") from error
        arrays.append(np.frombuffer(content, np.uint8, offset=header))
    images, labels = arrays
    return images.reshape(len(labels), 28, 28), labels


def canvases(
    images: np.ndarray, labels: np.ndarray, count: int, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """So many canvases (count, 1, 64, 64), their label maps and their classes."""
    random = np.random.RandomState(seed)  # whose stream is the same in every release of numpy
    chosen = random.permutation(len(images))[:count]
    pictures = np.zeros((count, 1, CANVAS, CANVAS), np.uint8)
    maps = np.zeros((count, CANVAS, CANVAS), np.uint8)
    for index, garment in enumerate(tqdm(chosen, desc=name, unit="canvas")):
        canvas = pictures[index, 0]
        for _ in range(PIECES):
            add_piece(canvas, images[other_class(labels, labels[garment], random)], random)
        picture = enlarged(images[garment], random.uniform(*SCALES))
        rows, columns = (at_random(len(picture), CANVAS, random) for _ in range(2))
        lit = picture >= LEAST_LIT
        canvas[rows, columns][lit] = picture[lit]
        maps[index, rows, columns][lit] = 1 + labels[garment]
    return pictures, maps, labels[chosen]


def other_class(labels: np.ndarray, label: int, random: np.random.RandomState) -> int:
    """The index of a garment of another class."""
    while True:
        index = random.randint(len(labels))
        if labels[index] != label:
            return index


def add_piece(canvas: np.ndarray, image: np.ndarray, random: np.random.RandomState) -> None:
    """Cut a disc out of a garment and lay it on the canvas, in place."""
    picture = enlarged(image, random.uniform(*SCALES))
    lit = np.argwhere(picture >= LEAST_LIT)
    row, column = lit[random.randint(len(lit))]
    radius = random.randint(*RADII)
    rows, columns = np.ogrid[: len(picture), : len(picture)]
    disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    # Where the disc's pixels come to lie, those outside the canvas left out.
    taken = np.argwhere(disc & (picture >= LEAST_LIT))
    placed = taken - (row, column) + random.randint(CANVAS, size=2)
    inside = ((placed >= 0) & (placed < CANVAS)).all(1)
    canvas[tuple(placed[inside].T)] = picture[tuple(taken[inside].T)]


def at_random(length: int, room: int, random: np.random.RandomState) -> slice:
    start = random.randint(room - length + 1)
    return slice(start, start + length)


def enlarged(image: np.ndarray, scale: float) -> np.ndarray:
    """A square image, bilinearly enlarged; in whole numbers, so that every machine agrees."""
    size = len(image)
    side = round(size * scale)
    # Places in the image, in 1/256 of a pixel.
    places = ((2 * np.arange(side) + 1) * size * 128 // side - 128).clip(0, (size - 1) * 256)
    low = np.minimum(places >> 8, size - 2)
    part = places - (low << 8)
    wide = image.astype(np.int64)
    wide = wide[low] * (256 - part)[:, None] + wide[low + 1] * part[:, None]
    wide = wide[:, low] * (256 - part) + wide[:, low + 1] * part
    return ((wide + (1 << 15)) >> 16).astype(np.uint8)
