"""Tables of the position study: their arms, their cells, and that they train."""

import json
import re
from dataclasses import replace
from functools import partial
from itertools import groupby, product

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed

from helpers.studied import invented, write_config
from helpers.studies import write_data
from mmdcls.errors import InputError
from mmdcls.study import command
from mmdcls.study.cells import base_config, config_of, key_of
from mmdcls.study.records import read_records
from mmdcls.study.run import run_cells
from mmdcls.study.training import start_alike, train_cell
from projects.position_study import study
from projects.position_study.fields import field_figures
from projects.position_study.position_study.kernels import neutral_count
from projects.position_study.recipes import best_recipe, figures_of
from projects.position_study.tables import DATA, NEUTRAL, RECIPE, TABLES, Data, overrides_of

RECIPE_ARM = "uniform_travel-1"


def arguments(*given):
    return study.parse_arguments([str(argument) for argument in given])


@pytest.fixture
def noise(monkeypatch, tmp_path):
    """Two data sets of noise in place of those of the study, and trainings that are invented."""
    for name in list(DATA):
        monkeypatch.delitem(DATA, name)
    for name in ("first", "second"):
        path = write_config(tmp_path / f"{name}.py")
        monkeypatch.setitem(DATA, name, Data(str(path), "score", name))

    def run(cells, folder, workers, device, seconds, train):
        return run_cells(cells, folder, 0, device, seconds, train=invented)

    monkeypatch.setattr(command, "run_cells", run)


@pytest.mark.parametrize("name", TABLES)
def test_arms_are_named_as_files_and_compared_with_each_other(name):
    table = TABLES[name]
    assert table.reference in table.arms
    assert {arm for claim in table.claims for arm in (claim.arm, claim.than)} <= set(table.arms)
    assert all(re.fullmatch(r"[\w.-]+", arm) for arm in table.arms)
    recipe = RECIPE.arms[RECIPE_ARM]
    settings = {json.dumps(overrides_of(arm, recipe)) for arm in table.arms.values()}
    assert len(settings) == len(table.arms)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_and_data_set_of_a_seed_comes_before_the_next_seed(name):
    cells = study.cells_of([name], arguments(name, "--recipe", RECIPE_ARM, "--seeds", 3))
    seeds = [(seed, list(group)) for seed, group in groupby(cells, key=lambda cell: cell.seed)]
    assert [seed for seed, _ in seeds] == [0, 1, 2]
    table = TABLES[name]
    for seed, group in seeds:
        arms = table.arms_under(seed)
        assert {(c.data, c.arm) for c in group} == set(product(table.data or DATA, arms))
        assert len(group) == len(table.data or DATA) * len(arms)


@pytest.mark.parametrize("name", TABLES)
def test_what_is_chosen_from_is_whole_under_the_first_seed_and_what_claims_compare_under_all(name):
    table = TABLES[name]
    compared = {arm for claim in table.claims for arm in (claim.arm, claim.than)}
    assert table.arms_under(0) == table.arms
    assert table.reference in table.arms_under(1)
    assert set(table.arms_under(1)) == (compared if table.part == "validation" else {*table.arms})


def test_a_table_that_takes_recipes_asks_for_one(noise, tmp_path):
    with pytest.raises(SystemExit, match=r"run it first, or give --recipe ARM"):
        study.main(["pays", "--results", str(tmp_path / "results")])


def test_a_table_that_has_none_of_the_data_is_told(capsys):
    with pytest.raises(SystemExit):
        study.main(["rivals", "--data", "garments_segmentation"])
    assert "rivals is trained on prompts_classification alone" in capsys.readouterr().err


def test_recipes_are_trained_first_and_what_two_tables_share_once(noise, tmp_path, capsys):
    folder = tmp_path / "results"
    study.main(["pays", "recipe", "--seeds", "2", "--results", str(folder)])
    both = [TABLES[name] for name in ("recipe", "pays")]
    cells = 2 * sum(len(table.arms_under(seed)) for table in both for seed in range(2))
    assert f"{cells} cells are done, 0 are left." in capsys.readouterr().out
    records = read_records(folder).values()
    figures = figures_of(records, "recipe", "validation")
    for name in DATA:
        best = best_recipe(figures, judged=name)
        (learned, *_), (same, *_) = (
            [r for r in records if (r["table"], r["data"], r["arm"]) == (table, name, arm)]
            for table, arm in (("pays", "learned"), ("recipe", best))
        )
        assert learned["key"] == same["key"]
        assert learned["validation"] == same["validation"]


def test_a_study_whose_cells_fail_ends_with_a_sentence(noise, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(RECIPE.arms, "fails", replace(RECIPE.arms[RECIPE_ARM], repulsion=3.0))
    with pytest.raises(SystemExit) as ended:
        study.main(["recipe", "--seeds", "1", "--results", str(tmp_path / "results")])
    said = "2 cells failed, the first recipe: first, fails, seed 0 (RuntimeError: this arm is"
    assert str(ended.value).startswith(said)
    assert f"{2 * len(RECIPE.arms) - 2} cells are done, 0 are left." in capsys.readouterr().out


def test_the_best_recipe_is_that_of_the_other_data_sets():
    figures = dict(
        x=dict(a={0: 90.0}, b={0: 10.0}, c={0: 0.0}),
        y=dict(a={0: 1.0, 1: 3.0}, b={0: 3.0, 1: 1.5}, c={0: 0.0, 1: 99.0, 2: 99.0}),
        z=dict(a={0: 1.0}, b={0: 2.0}, c={0: 1.5}),
        # Not all arms are there.
        w=dict(a={0: 1000.0}),
    )
    del figures["y"]["c"][1], figures["y"]["c"][2]
    # Seed 0 alone is everybody's: of y and z, b has 2.5 in the mean, a 1.0.
    assert best_recipe(figures, "x", "abc") == "b"
    assert best_recipe(figures, "y", "abc") == "a"
    assert best_recipe(figures, "z", "abc") == "a"
    figures["x"]["a"][0] = -1e9
    assert best_recipe(figures, "x", "abc") == "b"
    assert best_recipe({"x": figures["x"]}, "x", "abc") is None


def test_a_record_without_the_figure_that_judges_is_told(noise, tmp_path, monkeypatch):
    study.main(["recipe", "--seeds", "1", "--results", str(tmp_path / "results")])
    monkeypatch.setitem(DATA, "first", replace(DATA["first"], figure="mIoU"))
    records = read_records(tmp_path / "results").values()
    with pytest.raises(InputError, match=r"recipe, first, .* has no mIoU .* but score; give"):
        figures_of(records, "recipe", "validation")


@pytest.fixture(scope="module")
def random_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    (folder / "data/position_study").mkdir(parents=True)
    write_data(folder / "data/position_study")
    return folder


@pytest.mark.parametrize("name", TABLES)
def test_every_arm_has_its_place_in_every_config(name):
    cells = study.cells_of([name], arguments(name, "--recipe", RECIPE_ARM, "--seeds", 1))
    for cell in cells:
        kernel = config_of(cell).model.backbone.kernel.to_dict()
        assert kernel.items() >= TABLES[name].arms[cell.arm].kernel.items()


def test_arms_that_are_the_same_training_are_trained_once():
    same = dict(recipe=RECIPE_ARM, pays="learned", interpolation="bilinear", size="24-in-17")
    cells = study.cells_of(list(same), arguments(*same, "--recipe", RECIPE_ARM, "--seeds", 1))
    keys = {key_of(cell) for cell in cells if cell.arm == same[cell.table]}
    assert len(keys) == len(DATA)


@pytest.mark.parametrize(("interpolation", "count"), NEUTRAL.items())
def test_counts_are_those_with_the_parameters_of_a_dense_7x7(interpolation, count):
    assert count == neutral_count(2, interpolation, share_positions=True)


@pytest.mark.parametrize("data", DATA)
def test_positions_that_stay_start_where_those_that_learn_do(data):
    given = ("pays", "--recipe", RECIPE_ARM, "--seeds", 2, "--data", data)
    starts = {}
    for cell in study.cells_of(["pays"], arguments(*given)):
        if cell.arm in ("learned", "frozen-random") and cell.seed == 1:
            cfg = config_of(cell)
            init_default_scope(cfg.default_scope)
            set_random_seed(cell.seed)
            model = MODELS.build(cfg.model)
            start_alike(model, base_config(cell.config), cell.seed)
            starts[cell.arm] = model.state_dict()
    learned, frozen = starts.values()
    assert learned.keys() == frozen.keys()
    assert all(torch.equal(value, frozen[name]) for name, value in learned.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_arms_of_every_table_train(name, random_data, tmp_path, monkeypatch):
    monkeypatch.chdir(random_data)
    (data, *_) = TABLES[name].data or ("prompts_classification",)
    given = (name, "--recipe", RECIPE_ARM, "--seeds", 1, "--data", data)
    # Neighbours in the large tables are much alike.
    chosen = study.cells_of([name], arguments(*given))[:: 1 + len(TABLES[name].arms) // 6]
    short = {"train_cfg.max_iters": 2, "param_scheduler": []}
    cells = [replace(cell, overrides={**cell.overrides, **short}) for cell in chosen]
    outcome = run_cells(cells, tmp_path, 0, train=partial(train_cell, figures_of=field_figures))
    assert outcome.failed == []
    for record in read_records(tmp_path).values():
        assert record["steps"] == 2
        assert DATA[record["data"]].figure in record["test"]
        assert record["after"]["field_50"] >= 1
