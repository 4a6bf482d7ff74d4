"""Images and their truth as they are loaded: of one size, and labels that fit into a byte."""

import mmcv
from mmengine.dataset import Compose
from PIL import ExifTags, Image, UnidentifiedImageError

from mmdcls.errors import InputError

# EXIF orientations that exchange height and width.
TURNED = (5, 6, 7, 8)
# Modes of PIL whose values may exceed a byte; 65535 is read as 255, which is no class.
WIDE = ("I", "I;16", "I;16B", "I;16L", "F")
NO_CLASS = 65535
LOADING = ("LoadImageFromFile", "LoadAnnotations")


class LoadedAlike:
    """A transform that changes nothing: raises InputError where an image and its truth differ.

    file: the annotation file that tells heights and widths, if one does.
    """

    def __init__(self, file: str | None = None) -> None:
        self.file = file

    def __call__(self, results: dict) -> dict:
        shape = tuple(results.get("ori_shape", ())[:2])
        image, label_map = results.get("img_path"), results.get("seg_map_path")
        if not shape or not isinstance(image, str):
            return results
        told = results.get("height"), results.get("width")
        if self.file and None not in told and told != shape:
            raise InputError(disagreement(image, shape, self.file, told))
        if "gt_seg_map" in results and label_map and "://" not in label_map:
            if "seg_fields" in results:  # mmseg's, which casts to bytes
                check_bytes(label_map)
            found = results["gt_seg_map"].shape[:2]
            if found != shape:
                raise InputError(disagreement(image, shape, label_map, found))
        return results


def disagreement(image: str, shape: tuple[int, int], file: str, told: tuple[int, int]) -> str:
    turned = "" if not is_turned(image) else " (its EXIF tag turns it)"
    mend = "; correct one of them"
    if turned:
        mend += ", or load it with LoadImageFromFile(color_type='color_ignore_orientation')"
    return (
        f"The image {image} is {shape[0]} x {shape[1]} as it is loaded{turned}, and {file} says "
        f"{told[0]} x {told[1]}{mend}."
    )


def is_turned(path: str) -> bool:
    try:
        with Image.open(path) as image:
            return image.getexif().get(ExifTags.Base.Orientation) in TURNED
    except OSError:  # of another place, or of a format that another backend reads
        return False


def check_bytes(path: str) -> None:
    """Raise InputError for a label map with labels that mmseg would take modulo 256."""
    try:
        with Image.open(path) as image:
            if image.mode not in WIDE:
                return
    except UnidentifiedImageError:  # of a format that another backend reads
        return
    labels = mmcv.imread(path, flag="unchanged", backend="pillow")
    wrong = labels[(labels > 255) & (labels != NO_CLASS)]
    if len(wrong):
        raise InputError(
            f"The label map {path} has the label {int(wrong.max())} (16 bits), and only 0 to 255 "
            f"can be read; number the classes from 0 on, with 255 for no class."
        )


def watch_sizes(pipeline: object, file: str | None) -> None:
    """Look at what each of the pipeline's loading transforms has loaded."""
    if not isinstance(pipeline, Compose):
        return
    # Others, as of VOC, only list what tells the sizes.
    file = file if file and file.endswith(".json") else None
    transforms = []
    for transform in pipeline.transforms:
        transforms.append(transform)
        if type(transform).__name__ in LOADING:
            transforms.append(LoadedAlike(file))
    pipeline.transforms = transforms
