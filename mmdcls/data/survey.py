"""A look at every image of a data set and its truth: what is there, and what disagrees."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from mmengine.dataset import Compose
from PIL import Image
from torch.utils.data import Dataset
from tqdm import tqdm

from mmdcls.errors import InputError

from .findings import Finding
from .images import sixteen_bits
from .labels import IGNORED, are_of_binary_masks
from .reading import NamingPipeline, is_local, parts_of, watch
from .samples import evenly
from .sizes import LOADING, LoadedAlike, is_turned

# Of images in the report.
SIZES = 3


@dataclass
class Survey:
    """What was seen of one split.

    objects, pixels: of each class, by its number; in pixels, 255 for no class.
    """

    images: int = 0
    sizes: Counter = field(default_factory=Counter)
    modes: Counter = field(default_factory=Counter)
    turned: int = 0
    dark: bool = False
    objects: Counter = field(default_factory=Counter)
    pixels: Counter = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def survey(dataset: Dataset, most: int | None, name: str) -> Survey:
    """Load `most` images, evenly from the first to the last, or all of them, and their truth."""
    seen = Survey()
    try:
        watch(dataset)
    except InputError as error:
        seen.findings.append(Finding(str(error)))
        return seen
    parts = [part for part in parts_of(dataset) if hasattr(part, "get_data_info")]
    samples = [(part, index) for part in parts for index in range(len(part))]
    for part, index in tqdm(evenly(samples, most), desc=name, unit="image"):
        look(part, index, seen)
    if are_of_binary_masks(set(seen.pixels)):
        seen.findings.append(
            Finding(
                f"No label map of {name} has a label other than 0 and 255, which is ignored; "
                f"binary masks of 0 and 255 must be written as 0 and 1."
            )
        )
    return seen


def look(part: Dataset, index: int, seen: Survey) -> None:
    sample = part.get_data_info(index)
    path = sample.get("img_path")
    seen.images += 1
    seen.objects.update(
        instance["bbox_label"]
        for instance in sample.get("instances") or ()
        if not instance.get("ignore_flag")
    )
    transforms = part.pipeline.pipeline.transforms
    loading = {type(t).__name__: t for t in transforms if type(t).__name__ in LOADING}
    try:
        loaded = NamingPipeline(Compose([*loading.values(), LoadedAlike(part.ann_file)]))(sample)
    except InputError as error:
        seen.findings.append(Finding(str(error)))
        return
    count_pixels(part, loaded, seen)
    seen.sizes[loaded["ori_shape"][:2]] += 1
    if is_local(path):
        with suppress(OSError), Image.open(path) as image:
            seen.modes[image.mode] += 1
        seen.turned += is_turned(path)
        options = vars(loading.get("LoadImageFromFile", seen))
        if not seen.dark and (fault := sixteen_bits(path, options)):
            seen.dark = True
            seen.findings.append(Finding(f"The image {path} {fault}.", is_wrong=False))


def count_pixels(part: Dataset, loaded: dict, seen: Survey) -> None:
    labels, counts = np.unique(loaded.get("gt_seg_map", np.zeros(0)), return_counts=True)
    new = dict(zip(labels.tolist(), counts.tolist(), strict=True))
    # By sigmoid one class is told from another that has no name.
    known = max(len(part.metainfo.get("classes") or ()), 2)
    for label in new.keys() - seen.pixels.keys():
        if label >= known and label != IGNORED:
            sentence = f"{loaded.get('seg_map_path')} has the label {label} of {known} classes."
            seen.findings.append(Finding(f"The label map {sentence}"))
    seen.pixels.update(new)
