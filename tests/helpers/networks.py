"""timm and mmpretrain, and the torchvision that they import, beside any torch.

pip's torchvision is made for a torch for GPUs. Beside another, its operators do not load, and
neither does whatever imports it, so that it is kept out of the environment: `make test` installs
all three into a folder of their own, which is found by tests alone.
"""

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from pathlib import Path

import torch

FOLDER = Path(sys.prefix) / "networks"
# What torchvision registers fakes for without asking whether it is there.
MISSING = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# What is defined lives as long as this.
KEPT = []


class Finder(DistributionFinder):
    """Finds what nothing else has, in the folder.

    Not on the path, which processes that tests start inherit: they would find a torchvision that
    does not load.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> object:
        return PathFinder.find_spec(name, [str(FOLDER)], target) if path is None else None

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        inside = DistributionFinder.Context(name=context.name, path=[str(FOLDER)])
        return MetadataPathFinder.find_distributions(inside)


def make_importable() -> None:
    if not FOLDER.is_dir():
        return
    sys.meta_path.append(Finder())
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
