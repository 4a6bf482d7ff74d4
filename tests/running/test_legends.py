"""A legend names what is in the picture, and leaves the picture as it is."""

import numpy as np
import pytest

from mmdcls.running.legends import GAP, ROW, rows_of, with_legend

META = dict(
    classes=("background", "cell", "nucleus"), palette=[[1, 2, 3], [250, 0, 9], [7, 200, 9]]
)


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.unique(picture.reshape(-1, 3), axis=0).tolist()}


def test_classes_that_are_there_have_their_colours_below_the_picture():
    picture = np.full((40, 300, 3), 128, np.uint8)
    drawn = with_legend(picture, [2, 0, 2, 255], META)
    np.testing.assert_array_equal(drawn[:40], picture)
    assert drawn.shape == (40 + ROW, 300, 3)
    found = colours(drawn[40:])
    assert (1, 2, 3) in found and (7, 200, 9) in found and (250, 0, 9) not in found


def test_titles_stand_above_the_parts():
    picture = np.full((40, 300, 3), 128, np.uint8)
    drawn = with_legend(picture, [], META, ("truth", "prediction"))
    assert drawn.shape == (40 + ROW, 300, 3)
    np.testing.assert_array_equal(drawn[ROW:], picture)
    dark = (drawn[:ROW] < 100).any((0, 2))
    assert dark[:150].any() and dark[150:].any()


@pytest.mark.parametrize("width", [10, 90])
def test_a_narrow_picture_becomes_as_wide_as_the_widest_name(width):
    picture = np.full((40, width, 3), 128, np.uint8)
    drawn = with_legend(picture, range(3), META)
    assert drawn.shape[0] == 40 + 3 * ROW and drawn.shape[1] >= 90
    np.testing.assert_array_equal(drawn[:40, :width], picture)
    assert (drawn[:40, width:] == 255).all()
    # No name is cut at the edge.
    assert (drawn[40:, -1] == 255).all()


def test_entries_fill_rows_like_lines_of_text():
    edge = GAP // 2
    assert rows_of([40, 50, 30, 100], 100) == [(0, edge), (0, 40 + edge), (1, edge), (2, edge)]
