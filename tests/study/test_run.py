"""Studies that are stopped, fail and go on, with trainings that are invented."""

import json
import math
import os
import sys
import time
from dataclasses import replace

import pytest

from helpers.processes import start
from helpers.studied import invented, write_config
from mmdcls.errors import InputError
from mmdcls.study.cells import Cell
from mmdcls.study.records import means, read_records
from mmdcls.study.run import run_cells
from mmdcls.study.workers import Crew


@pytest.fixture
def cells(tmp_path):
    config = write_config(tmp_path / "noise.py")

    def make(arms, seeds=2, table="t"):
        sizes = {arm: {"model.backbone.kernel_size": 5 + 2 * i} for i, arm in enumerate(arms)}
        return [
            Cell(table, "noise", arm, seed, config, sizes[arm])
            for seed in range(seeds)
            for arm in arms
        ]

    return make


class Trained(list):
    """Remembers what it was asked to train."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def __call__(self, cell):
        if len(self) == self.stop_after:
            raise KeyboardInterrupt
        self.append(str(cell))
        return invented(cell)


def test_a_study_that_was_stopped_goes_on_where_it_was(cells, tmp_path):
    wanted, first, then = cells("abc"), Trained(stop_after=2), Trained()
    with pytest.raises(SystemExit, match="Stopped: 2 cells are done; the same command goes on"):
        run_cells(wanted, tmp_path / "results", 0, train=first)
    outcome = run_cells(wanted, tmp_path / "results", 0, train=then)
    assert first + then == [str(cell) for cell in wanted]
    assert (outcome.finished, outcome.failed, outcome.left) == (6, [], 0)
    again = Trained()
    assert run_cells(wanted, tmp_path / "results", 0, train=again).finished == 6
    assert again == []


def test_a_cell_of_two_tables_is_trained_once_and_kept_by_both(cells, tmp_path):
    mine, trained = cells("ab", seeds=1), Trained()
    theirs = [replace(cell, table="u", arm=cell.arm + cell.arm) for cell in mine]
    run_cells([mine[0], theirs[0]], tmp_path, 0, train=trained)
    run_cells(mine + theirs, tmp_path, 0, train=trained)
    assert trained == [str(cell) for cell in mine]
    records = read_records(tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in records}
    assert names == {
        "t/noise.a.0.json",
        "t/noise.b.0.json",
        "u/noise.aa.0.json",
        "u/noise.bb.0.json",
    }
    of = {(record["table"], record["arm"]): record for record in records.values()}
    assert of["u", "aa"]["test"] == of["t", "a"]["test"] != of["t", "b"]["test"]
    assert of["u", "aa"]["overrides"] == mine[0].overrides


def test_a_config_that_has_changed_is_trained_anew(cells, tmp_path):
    (cell,), trained = cells("a", seeds=1), Trained()
    changed = replace(cell, overrides={"train_cfg.max_iters": 5})
    for version in (cell, changed, changed):
        run_cells([version], tmp_path, 0, train=trained)
    assert len(trained) == 2
    assert len(read_records(tmp_path)) == 1


def test_no_cell_begins_after_the_limit(cells, tmp_path):
    outcome = run_cells(cells(["waits", "a"]), tmp_path, 0, seconds=0.2, train=invented)
    assert (outcome.finished, outcome.left) == (1, 3)


def test_a_cell_that_fails_is_told_and_the_others_are_trained(cells, tmp_path):
    outcome = run_cells(cells(["a", "fails", "b"], seeds=1), tmp_path, 0, train=invented)
    assert [cell.arm for cell, _ in outcome.failed] == ["fails"]
    assert outcome.finished == 2
    log = (tmp_path / "t/failures.log").read_text()
    assert log.startswith("t: noise, fails, seed 0\nTraceback")
    assert "RuntimeError: this arm is broken" in log
    assert run_cells(cells("a", seeds=1), tmp_path, 0, train=invented).failed == []
    assert not (tmp_path / "t/failures.log").exists()


@pytest.mark.slow
def test_a_process_that_dies_fails_its_cell_alone(cells, tmp_path):
    outcome = run_cells(cells(["dies", "a", "fails"], seeds=1), tmp_path, 1, "cpu", train=invented)
    assert [cell.arm for cell, _ in outcome.failed] == ["dies", "fails"]
    log = (tmp_path / "t/failures.log").read_text()
    assert log.startswith("t: noise, dies, seed 0\nIts process died (exit code -9).")
    (record,) = read_records(tmp_path).values()
    assert record["arm"] == "a"


class DiesWhereItIsRead:
    def __reduce__(self):
        return os._exit, (3,)


@pytest.mark.slow
def test_processes_that_die_before_they_train_fail_their_cells_alone(cells, tmp_path):
    outcome = run_cells(cells("a"), tmp_path, 1, "cpu", train=DiesWhereItIsRead())
    assert [why for _, why in outcome.failed] == ["Its process died (exit code 3)."] * 2


@pytest.mark.slow
def test_another_takes_the_place_of_a_process_that_died_idle(cells):
    first, second = cells("a")
    with Crew(1, "cpu", invented) as crew:
        crew.begin([first])
        crew.results()
        (worker,) = crew.idle
        worker.process.kill()
        worker.process.join()
        crew.begin([second])
        ((_, result),) = crew.results()
    assert result["test"] == invented(second)["test"]


def test_fewer_than_no_processes_are_refused(cells, tmp_path):
    with pytest.raises(InputError, match="workers=-1 must be at least 0"):
        run_cells(cells("a"), tmp_path, -1)


@pytest.mark.slow
def test_a_study_that_was_killed_leaves_no_process_and_goes_on(cells, tmp_path):
    wanted = cells(["a", "b", "waits", "c"], seeds=1)
    folder, program = tmp_path / "results", tmp_path / "study.py"
    program.write_text(
        "from pathlib import PosixPath\n"
        "from helpers.studied import invented\n"
        "from mmdcls.study.cells import Cell\n"
        "from mmdcls.study.run import run_cells\n"
        "if __name__ == '__main__':\n"
        f"    run_cells({wanted!r}, {folder!r}, 1, 'cpu', train=invented)\n"
    )
    process = start(sys.executable, program, WAIT="1000")
    try:
        until = time.monotonic() + 120
        while len(read_records(folder)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        process.kill()
    # Until the last process has closed it.
    process.communicate(timeout=30)
    trained = Trained()
    run_cells(wanted, folder, 0, train=trained)
    assert trained == [str(cell) for cell in wanted[2:]]
    assert len(read_records(folder)) == 4


def test_a_damaged_record_is_told(cells, tmp_path):
    run_cells(cells("a", seeds=1), tmp_path, 0, train=invented)
    (path,) = tmp_path.glob("t/*.json")
    path.write_text(path.read_text()[:20])
    with pytest.raises(InputError, match=r"noise\.a\.0\.json is damaged .*; delete it\."):
        run_cells(cells("a", seeds=1), tmp_path, 0, train=invented)


@pytest.mark.parametrize("text", ["null", "[]", "{}", '{"mIoU": 1.0}'])
def test_what_is_no_record_is_told(tmp_path, text):
    (tmp_path / "20260101").mkdir()
    (tmp_path / "20260101/20260101.json").write_text(text)
    with pytest.raises(InputError, match=r"20260101\.json is no record of a study"):
        read_records(tmp_path)


def test_nothing_is_trained_where_nothing_can_be_written(cells, tmp_path, monkeypatch):
    trained = Trained()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(PermissionError) as refused:
        run_cells(cells("a"), tmp_path / "results", 0, train=trained)
    assert (trained, refused.value.filename) == ([], str(tmp_path / "results/t"))


def test_means_of_figures_that_are_not_finite_are_not():
    found = means([dict(a=1.0, b=2.0), dict(a=3.0, b=None)])
    assert found["a"] == 2.0 and math.isnan(found["b"])


def test_numbers_that_are_not_finite_are_kept_as_none(cells, tmp_path):
    def diverged(cell):
        return dict(invented(cell), test=dict(score=float("nan")))

    run_cells(cells("a", seeds=1), tmp_path, 0, train=diverged)
    (path,) = tmp_path.glob("t/*.json")
    assert json.loads(path.read_text())["test"] == dict(score=None)


@pytest.mark.parametrize("device", ["tpu", "cuda"])
def test_a_device_that_is_not_there_is_refused(cells, tmp_path, device, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=r"cpu"):
        run_cells(cells("a"), tmp_path, 0, device, train=invented)
