"""Where predictions are written, and label images."""

from collections import Counter
from collections.abc import Hashable
from pathlib import Path

import mmcv
import numpy as np
from torch import nn

from mmdcls.wrapping import unwrapped


def bare_places(places: dict[Hashable, Path]) -> dict[Hashable, Path]:
    """The places of images below an output folder, without suffix where that is enough."""
    bare = Counter(place.with_suffix("") for place in places.values())
    return {
        image: place.with_suffix("") if bare[place.with_suffix("")] == 1 else place
        for image, place in places.items()
    }


def write_labels(path: str, labels: np.ndarray, model: nn.Module, first: int = 0) -> None:
    """Write a PNG whose pixels are class numbers: 16 bits where a byte does not hold them all.

    first: the number that class 0 is written as.
    """
    labels = labels.astype(np.int64) + first
    last = first + getattr(unwrapped(model), "num_classes", 0) - 1
    fits = max(last, int(labels.max())) < 256
    mmcv.imwrite(labels.astype(np.uint8 if fits else np.uint16), path)
