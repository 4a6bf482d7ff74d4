"""Make the data of the study in data/position_study.

    python -m projects.position_study.prepare
    python -m projects.position_study.prepare garments --source FOLDER

Run it from the repository's root. Sources are downloaded unless they are given.
"""

import argparse
from pathlib import Path

from projects.position_study.preparation import cells, garments, instances, prompts

DATA = dict(
    garments=garments.prepare,
    prompts=prompts.prepare,
    cells=cells.prepare,
    cells_instances=instances.prepare,
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(DATA)}")
    parser.add_argument("--out", type=Path, default=Path("data/position_study"))
    parser.add_argument("--source", type=Path, help="what one of them is made from, if you have it")
    parsed = parser.parse_args(arguments)
    names = parsed.names or list(DATA)
    if unknown := set(names) - set(DATA):
        parser.error(f"{', '.join(sorted(unknown))} is unknown; there are {', '.join(DATA)}")
    if parsed.source and len(names) > 1:
        parser.error(f"--source is that of one data set, and {len(names)} are asked for; name one")
    if parsed.source and not parsed.source.exists():
        parser.error(f"--source {parsed.source} is not there")
    for name in names:
        DATA[name](parsed.out, parsed.source)


if __name__ == "__main__":
    main()
