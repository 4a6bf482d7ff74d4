"""Positions over time: what a line keeps of them, and the picture."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from mmdcls.dcls import Dcls1d, Dcls2d
from mmdcls.dcls.position_record import MOST_KERNELS, positions_line, read_positions


def layers() -> nn.Module:
    return nn.ModuleDict(
        dict(
            wide=Dcls2d(100, 100, 17, groups=100, kernel_count=5),
            dense=Dcls2d(3, 4, (5, 7), kernel_count=2),
            line=Dcls2d(2, 2, (1, 9), kernel_count=2),
            sound=Dcls1d(2, 2, 9, kernel_count=2),
        )
    )


def test_a_line_has_positions_of_two_axes_to_a_hundredth_of_a_cell(tmp_path):
    model, file = layers(), tmp_path / "positions.json"
    file.write_text(positions_line(model, 7))
    [(step, owners)] = read_positions(file).items()
    assert step == 7
    assert {name: kernels.extents for name, kernels in owners.items()} == dict(
        wide=(17, 17), dense=(5, 7)
    )
    dense = model["dense"].positions.detach().flatten(1, 2).cpu().numpy()
    np.testing.assert_allclose(owners["dense"].offsets, dense, atol=0.00501)
    wide = model["wide"].positions.detach().flatten(1, 2).cpu().numpy()
    assert owners["wide"].offsets.shape == (2, MOST_KERNELS, 5)
    for mine, index in ((0, 0), (-1, -1)):
        np.testing.assert_allclose(owners["wide"].offsets[:, mine], wide[:, index], atol=0.00501)


def test_the_part_of_a_line_that_a_killed_run_left_is_passed_over(tmp_path):
    model, file = layers(), tmp_path / "positions.json"
    lines = [positions_line(model, step) for step in (0, 5)]
    for cut in (1, 2, 20, len(lines[1]) - 1):
        file.write_text(lines[0] + lines[1][:-cut])
        assert list(read_positions(file)) == [0]
    file.write_text("")
    assert read_positions(file) == {}


def test_lines_are_lines_of_json():
    line = positions_line(layers(), 3)
    assert line.count("\n") == 1 and json.loads(line)["step"] == 3


@pytest.mark.parametrize("times", [2, 20])
def test_the_picture_says_how_far_elements_moved_and_follows_one_kernel(times, tmp_path):
    pytest.importorskip("matplotlib")
    from mmdcls.dcls.drawing_over_time import MOST_STEPS, positions_over_time_figure

    model, file = layers(), tmp_path / "positions.json"
    with torch.no_grad(), file.open("w") as lines:
        for layer in (model["wide"], model["dense"]):
            layer.positions.clamp_(-1, 1)
        for step in range(times):
            lines.write(positions_line(model, 10 * step))
            model["wide"].positions[0] += 0.1
    figure = positions_over_time_figure(read_positions(file))
    rows = np.reshape([ax for ax in figure.axes if ax.get_label() != "<colorbar>"], (2, -1))
    last = times - 1
    assert rows.shape[1] == min(times, MOST_STEPS) + 1
    assert rows[0, 0].get_title().strip() == "at the start"
    assert rows[0, -2].get_title() == f"after {10 * last} iterations\nmoved {0.1 * last:.2f}"
    assert rows[1, -2].get_title() == "moved 0.00"
    # Elements of all kernels in the colours, of one in the ways.
    assert rows[0, 0].images[0].get_array().sum() == MOST_KERNELS * 5
    ways = rows[0, -1].lines
    assert len(ways) == 5
    for way in ways:
        assert np.ptp(way.get_ydata()) == pytest.approx(0.1 * last, abs=0.011)
        assert np.ptp(way.get_xdata()) == 0


@pytest.mark.parametrize(("times", "kind"), [(0, Dcls2d), (1, Dcls2d), (2, Dcls1d)])
def test_one_time_or_no_positions_are_refused(times, kind, tmp_path):
    pytest.importorskip("matplotlib")
    from mmdcls.dcls.drawing_over_time import draw_positions_over_time

    file = tmp_path / "positions.json"
    lines = [positions_line(kind(2, 2, 5, kernel_count=2), step) for step in range(times)]
    file.write_text("".join(lines))
    with pytest.raises(ValueError, match=f"the record has {times}, of {times % 2} owners"):
        draw_positions_over_time(read_positions(file), tmp_path / "picture.png")
