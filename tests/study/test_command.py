import pytest

from helpers.studied import invented, write_config
from mmdcls.study.cells import Cell
from mmdcls.study.command import Table, reproduce


@pytest.fixture
def run(tmp_path):
    """The command, on two tables whose trainings are invented; what it trained, what it told."""
    config = write_config(tmp_path / "noise.py")

    def cells_of(name):
        return lambda seeds: [Cell(name, "noise", "arm", seed, config) for seed in seeds]

    def run(*arguments):
        trained, told = [], []

        def train(cell):
            trained.append((cell.table, cell.seed))
            return invented(cell)

        def tell(folder):
            told.append(folder)
            return [folder / "page.md"]

        tables = {
            "few": Table(cells_of("few"), train, seeds=2),
            "many": Table(cells_of("many"), train),
        }
        given = [*arguments, "--workers", "0"]
        reproduce("Says.\n\nMore.", tables, tell, tmp_path / "results", given)
        return trained, told

    return run


def test_tables_are_trained_in_their_order_with_their_seeds_and_told(run, tmp_path, capsys):
    trained, told = run("many", "few")
    # A training of both tables is the same, and done once.
    assert trained == [("many", seed) for seed in range(5)]
    assert told == [tmp_path / "results"]
    said = capsys.readouterr().out
    assert "page.md" in said
    assert said.endswith("7 cells are done, 0 are left.\n")


def test_seeds_and_results_are_those_that_are_given(run, tmp_path):
    trained, told = run("few", "--seeds", "3", "--results", str(tmp_path / "other"))
    assert trained == [("few", 0), ("few", 1), ("few", 2)]
    assert told == [tmp_path / "other"]


def test_without_tables_or_seeds_it_tells_and_trains_nothing(run, tmp_path, capsys):
    assert run() == ([], [tmp_path / "results"])
    assert "cells" not in capsys.readouterr().out
    assert run("few", "--seeds", "0")[0] == []


def test_after_the_time_is_over_nothing_begins(run, capsys):
    trained, told = run("few", "many", "--seconds", "-1")
    assert not trained
    assert told
    assert "0 cells are done, 2 are left." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["fwe"], "fwe is unknown; there are few, many"),
        (["few", "--seeds", "-1"], "-1 must be 0 or more"),
        (["few", "--workers", "-1"], "-1 must be 0 or more"),
        (["few", "--device", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_what_is_not_understood_is_told_before_anything_is_trained(given, said, run, capsys):
    with pytest.raises(SystemExit):
        run(*given)
    assert said in capsys.readouterr().err
