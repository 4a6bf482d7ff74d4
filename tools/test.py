"""Test a checkpoint, of a segmentor or a detector, and evaluate it: `mmdcls test`."""

import sys

from mmdcls import commands


def main(arguments: list[str] | None = None) -> int:
    return commands.main(["test", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
