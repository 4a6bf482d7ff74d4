"""Draw where a trained model's elements have gone, and some of its dense kernels.

    python tools/analysis_tools/draw_positions.py CONFIG CHECKPOINT --out positions.png

One column for each owner of positions: a stage whose blocks share them, or else a single layer.
"""

import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint

from mmdcls.engine.drawing import draw_positions


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", help="config of the model, segmentor or detector")
    parser.add_argument("checkpoint", help="checkpoint of the model")
    parser.add_argument("--out", type=Path, default=Path("positions.png"), help="picture to write")
    parsed = parser.parse_args(arguments)
    cfg = Config.fromfile(parsed.config)
    init_default_scope(cfg.get("default_scope", "mmengine"))
    model = MODELS.build(cfg.model)
    load_checkpoint(model, parsed.checkpoint, map_location="cpu")
    draw_positions(model, parsed.out)
    print(f"learned positions: {parsed.out}")


if __name__ == "__main__":
    main()
