"""Images of 16 bits whose values fill few of them are told from all others."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdcls.data import images
from mmdcls.data.images import sixteen_bits

FORMATS = [
    *((suffix, channels) for suffix in ("png", "tif") for channels in (1, 3, 4)),
    ("pgm", 1),
    ("ppm", 3),
]
formats = pytest.mark.parametrize(("suffix", "channels"), FORMATS)


def write(path: Path, channels: int, largest: int, kind: type = np.uint16) -> str:
    """A ramp up to the largest value; alpha takes all of its range."""
    ramp = np.linspace(0, largest, 64 * 64).astype(kind).reshape(64, 64)
    alpha = np.full_like(ramp, np.iinfo(kind).max)
    pixels = np.dstack([ramp] * min(channels, 3) + [alpha] * (channels == 4))
    assert cv2.imwrite(str(path), pixels)
    return str(path)


@formats
@pytest.mark.parametrize("largest", [1023, 4095, 16383])
def test_few_bits_in_sixteen_are_told(suffix, channels, largest, tmp_path):
    fault = sixteen_bits(write(tmp_path / f"a.{suffix}", channels, largest), {})
    assert fault == (
        f"has 16 bits and values up to {largest}; OpenCV keeps the upper byte, 0 to "
        f"{largest // 256}: stretch the images first"
    )


@formats
def test_the_whole_range_is_no_fault(suffix, channels, tmp_path):
    assert sixteen_bits(write(tmp_path / f"a.{suffix}", channels, 65535), {}) is None


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "bmp", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_of_eight_bits_only_the_header_is_read(suffix, channels, tmp_path, monkeypatch):
    path = write(tmp_path / f"a.{suffix}", channels, 255, np.uint8)
    monkeypatch.setattr(images.cv2, "imread", None)
    monkeypatch.setattr(Image.Image, "load", None)
    assert sixteen_bits(path, {}) is None
