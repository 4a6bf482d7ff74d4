"""Train two arms once more, under seed 0, and draw what they see in the test part of the cells.

    python -m projects.volumes.picture

Writes results/cells.png beside this file; two minutes of a core.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.runner import Runner

from mmdcls.study.training import train_cell

from .report import RESULTS
from .reproduce import cell_of

SHOWN = ("frames_7", "dcls_bilinear")
FRAMES = (0, 3, 6, 9)
# Background, cell, nucleus; what is not scored.
COLOURS = np.array([[0, 0, 0], [70, 110, 160], [250, 200, 60]], np.uint8)
UNSCORED = np.array([110, 110, 110], np.uint8)
DPI = 110


def main() -> None:
    seen = {arm: predicted(arm) for arm in SHOWN}
    (image, truth, _) = seen[SHOWN[0]]
    path = RESULTS / "cells.png"
    draw(image, truth, {arm: found for arm, (_, _, found) in seen.items()}, path)
    print(path)


def predicted(arm: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phase contrast, truth and prediction, each (frames, rows, columns)."""
    found = []

    @torch.no_grad()
    def keep(runner: Runner) -> dict[str, float]:
        (batch,) = runner.test_dataloader
        (sample,) = runner.model.eval().test_step(batch)
        maps = [sample[name]["data"].numpy() for name in ("gt_sem_seg", "pred_sem_seg")]
        found.append((batch["images"][0, 1].numpy(), *maps))
        return {}

    train_cell(cell_of("cells", arm, 0), keep)
    return found[-1]


def draw(image: np.ndarray, truth: np.ndarray, found: dict[str, np.ndarray], path: Path) -> None:
    columns = {
        "phase contrast": image,
        "truth": coloured(truth),
        **{name: coloured(maps) for name, maps in found.items()},
    }
    figure = Figure(figsize=(2 * len(columns), 3.2 * len(FRAMES)), layout="constrained")
    panels = figure.subplots(len(FRAMES), len(columns))
    for row, frame in zip(panels, FRAMES, strict=True):
        for axes, (name, pictures) in zip(row, columns.items(), strict=True):
            axes.imshow(pictures[frame], cmap="gray", interpolation="nearest")
            axes.set_title(f"{name}, frame {frame}", fontsize=9)
            axes.set_axis_off()
    figure.savefig(path, dpi=DPI)


def coloured(maps: np.ndarray) -> np.ndarray:
    known = maps < len(COLOURS)
    return np.where(known[..., None], COLOURS[np.where(known, maps, 0)], UNSCORED)


if __name__ == "__main__":
    main()
