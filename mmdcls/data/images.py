"""Images of more bits than networks are given."""

from collections.abc import Mapping

import cv2
from PIL import Image

# Values of 14 bits and fewer: the upper byte takes a quarter of its range.
DARK = 1 << 14


def sixteen_bits(path: str, loading: Mapping) -> str | None:
    """What is lost of a 16-bit image, as the end of a sentence, where its values fill few bits.

    loading: the options of the LoadImageFromFile that reads it; some keep all bits.

    Of an image of 8 bits only the header is read.
    """
    keeps_bits = loading.get("color_type") == "unchanged"
    if keeps_bits or loading.get("imdecode_backend", "cv2") != "cv2":
        return None
    try:
        image = Image.open(path)
    except OSError:  # of a format that another backend reads
        return None
    with image:
        # PIL does not tell by the mode: it reads colours of 16 bits as 8.
        if ";16" not in str(image.tile) and image.format != "PPM":
            return None
    pixels = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != "uint16":
        return None
    largest = int((pixels if pixels.ndim == 2 else pixels[..., :3]).max())
    if largest >= DARK:
        return None
    return (
        f"has 16 bits and values up to {largest}; OpenCV keeps the upper byte, 0 to "
        f"{largest >> 8}: stretch the images first"
    )
