"""What the colours of a drawn segmentation mean, written below it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

FONT, SCALE, THICKNESS = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1
ROW, SWATCH, GAP = 20, 12, 8
BLACK, WHITE = (0, 0, 0), 255


def with_legend(
    picture: np.ndarray,
    labels: Iterable[int],
    dataset_meta: Mapping[str, Any],
    titles: Sequence[str] = (),
) -> np.ndarray:
    """The picture with titles above its equal parts, and below it the classes among the labels.

    picture: (height, width, 3), RGB, 8 bits. It becomes wider where a name needs it.
    dataset_meta: with classes and palette; labels beyond them, such as 255, have no name.
    """
    classes, palette = dataset_meta["classes"], dataset_meta["palette"]
    entries = [(classes[i], palette[i]) for i in sorted(set(labels)) if 0 <= i < len(classes)]
    widths = [SWATCH + 2 * GAP + text_width(name) for name, _ in entries]
    part = picture.shape[1] // max(len(titles), 1)
    width = max([picture.shape[1], *widths])
    picture = np.pad(
        picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=WHITE
    )
    head = strip(1, width) if titles else strip(0, width)
    for index, title in enumerate(titles):
        write(head, title, index * part + GAP, 0)
    places = rows_of(widths, width)
    legend = strip(places[-1][0] + 1 if places else 0, width)
    for (name, colour), (row, left) in zip(entries, places, strict=True):
        corner = (left, row * ROW + (ROW - SWATCH) // 2)
        opposite = (corner[0] + SWATCH, corner[1] + SWATCH)
        cv2.rectangle(legend, corner, opposite, tuple(map(int, colour)), cv2.FILLED)
        cv2.rectangle(legend, corner, opposite, BLACK)
        write(legend, name, left + SWATCH + GAP // 2, row)
    return np.concatenate([head, picture, legend])


def text_width(text: str) -> int:
    return cv2.getTextSize(text, FONT, SCALE, THICKNESS)[0][0]


def strip(rows: int, width: int) -> np.ndarray:
    return np.full((rows * ROW, width, 3), WHITE, np.uint8)


def write(canvas: np.ndarray, text: str, left: int, row: int) -> None:
    base = (left, row * ROW + 15)
    cv2.putText(canvas, text, base, FONT, SCALE, BLACK, THICKNESS, cv2.LINE_AA)


def rows_of(widths: Sequence[int], available: int) -> list[tuple[int, int]]:
    """Row and left edge of each entry, filled like lines of text."""
    places, row, left = [], 0, 0
    for width in widths:
        if left and left + width > available:
            row, left = row + 1, 0
        places.append((row, left + GAP // 2))
        left += width
    return places
