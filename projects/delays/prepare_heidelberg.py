"""Check and unpack the files of the Spiking Heidelberg Digits and Speech Commands (CC-BY 4.0).

    python -m projects.delays.prepare_heidelberg shd_train.h5.zip shd_test.h5.zip

They are to be had at https://zenkelab.org/datasets, as .h5.zip.
"""

import argparse
import hashlib
import zipfile
from pathlib import Path

MD5 = dict(
    shd_train="f3252aeb598ac776c1b526422d90eecb",
    shd_test="1503a5064faa34311c398fb0a1ed0a6f",
    ssc_train="d102be95e7144fcc0553d1f45ba94170",
    ssc_valid="b4eee3516a4a90dd0c71a6ac23a8ae43",
    ssc_test="a35ff1e9cffdd02a20eb850c17c37748",
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.h5.zip")
    parser.add_argument("--out", type=Path, default=Path("data/delays"))
    parsed = parser.parse_args(arguments)
    for path in parsed.files:
        print(unpacked(path, parsed.out))


def unpacked(path: Path, out: Path) -> Path:
    """Where the file is then; exits with a sentence for one that is missing, other or damaged."""
    name = path.name.removesuffix(".h5.zip")
    if name not in MD5:
        raise SystemExit(f"{path.name} is not known; there are {', '.join(MD5)}, as .h5.zip")
    if not path.is_file():
        raise SystemExit(f"{path} is not there; fetch it from https://zenkelab.org/datasets")
    digest = hashlib.md5()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    found = digest.hexdigest()
    if found != MD5[name]:
        raise SystemExit(
            f"{path} has MD5 {found} in place of {MD5[name]}: it is damaged, or of another "
            f"release; fetch it again"
        )
    with zipfile.ZipFile(path) as archive:
        archive.extract(f"{name}.h5", out)
    return out / f"{name}.h5"


if __name__ == "__main__":
    main()
