"""Write a trained model as torch.export, as ONNX and as a plain config: `mmdcls deploy`."""

import sys

from mmdcls import commands


def main(arguments: list[str] | None = None) -> int:
    return commands.main(["deploy", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
