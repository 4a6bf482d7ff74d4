"""Draw where a trained model's elements have gone, and some of its dense kernels.

    python tools/analysis_tools/draw_positions.py CONFIG CHECKPOINT --out positions.png

One column for each owner of positions: a stage whose blocks share them, or else a single layer.
"""

import argparse
from pathlib import Path

from mmdcls.checkpoint.trained import load_trained
from mmdcls.dcls.drawing import draw_positions
from mmdcls.running.failures import in_a_sentence


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", help="config of the model, segmentor or detector")
    parser.add_argument("checkpoint", help="checkpoint of the model")
    parser.add_argument("--out", type=Path, default=Path("positions.png"), help="picture to write")
    parsed = parser.parse_args(arguments)
    with in_a_sentence():
        draw_positions(load_trained(parsed.config, parsed.checkpoint).model, parsed.out)
    print(f"learned positions: {parsed.out}")


if __name__ == "__main__":
    main()
