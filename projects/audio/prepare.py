"""Make data/audio/prompts: 2,780 spoken prompts in five languages, and a table of them.

    python -m projects.audio.prepare
    python -m projects.audio.prepare --source FOLDER

They are the clips of the position study's prompts (CC-BY-SA-3.0; Russian and Italian CC-BY-3.0),
fetched from Debian and not passed on. Run it from the repository's root.
"""

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from projects.audio.audio.sounds import write_sound
from projects.position_study.preparation.arrays import PARTS, check_digest
from projects.position_study.preparation.debian import unpack
from projects.position_study.preparation.prompts import (
    LANGUAGES,
    PACKAGES,
    RATE,
    SHA256,
    clips,
    part_of,
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("data/audio/prompts"))
    parser.add_argument("--source", type=Path, help="folder of the unpacked packages, if you have")
    parsed = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = parsed.source or unpack(PACKAGES, Path(scratch))
        found = [(lang, *item) for lang in LANGUAGES for item in clips(folder, lang)]
    heard = {part: [clip for _, name, clip in found if part_of(name) == part] for part in PARTS}
    check_digest("The clips", {part: np.stack(many) for part, many in heard.items()}, SHA256)
    for language, name, clip in tqdm(found, unit="clip"):
        write_sound(parsed.out / language / f"{name}.wav", clip, RATE)
    # Last, so that what was stopped is not taken for whole.
    with (parsed.out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "label", "part"))
        writer.writerows((f"{lang}/{name}.wav", lang, part_of(name)) for lang, name, _ in found)
    print(f"{parsed.out}: " + ", ".join(f"{len(many)} {part}" for part, many in heard.items()))


if __name__ == "__main__":
    main()
