"""Train a model, segmentor or detector, from its config: `mmdcls train`."""

import sys

from mmdcls import commands


def main(arguments: list[str] | None = None) -> int:
    return commands.main(["train", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
