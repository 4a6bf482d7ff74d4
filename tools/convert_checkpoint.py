"""Turn a checkpoint in any known layout into one of ours, or back: `mmdcls convert`."""

import sys

from mmdcls import commands


def main(arguments: list[str] | None = None) -> int:
    return commands.main(["convert", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
