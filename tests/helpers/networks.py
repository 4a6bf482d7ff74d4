"""timm and mmpretrain, and the torchvision that they import, beside any torch.

pip's torchvision is made for a torch for GPUs. Beside another, its operators do not load, and
neither does whatever imports it, so that it is kept out of the environment: `make test` installs
all three into a folder of their own, which is found by tests alone.
"""

import importlib
import sys
from pathlib import Path

import torch

FOLDER = Path(sys.prefix) / "networks"
# What torchvision registers fakes for without asking whether it is there.
MISSING = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# What is defined lives as long as this.
KEPT = []


def make_importable() -> None:
    if not FOLDER.is_dir():
        return
    # After everything else: it holds no more than what is missing elsewhere.
    sys.path.append(str(FOLDER))
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in MISSING:
            library.define(f"{name}{SCHEMA}")
        KEPT.append(library)
        importlib.import_module("torchvision")
