"""Cells that are trained in earnest, for two iterations."""

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed
from mmengine.visualization import Visualizer

from helpers.studied import Loss, write_config
from mmdcls.errors import InputError
from mmdcls.study.cells import Cell
from mmdcls.study.training import start_alike, train_cell


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path / "noise.py")


def cell(config, overrides=None, seed=0):
    return Cell("t", "noise", "a", seed, config, overrides or {})


def figures(record):
    return {part: record[part] for part in ("validation", "test", "before", "after")}


def test_a_cell_trained_twice_is_the_same(config):
    first, second = (train_cell(cell(config)) for _ in range(2))
    assert figures(first) == figures(second)
    assert figures(first) != figures(train_cell(cell(config, seed=1)))
    assert first["validation"] != first["test"]


def test_what_a_record_tells(config):
    record = train_cell(cell(config))
    assert record["steps"] == 2
    assert set(record["validation"]) == set(record["test"]) == {"loss"}
    # Stem, norm, depthwise convolution of 4 elements with positions, two linear layers, layer
    # scale, norm of the output; and the head.
    backbone = (48 + 1) * 4 + 8 + (4 * 4 + 4 + 2 * 4 * 4) + 8 + (4 + 1) * 16 + (16 + 1) * 4 + 4 + 8
    assert record["parameters"] == backbone + (4 + 1) * 3
    assert 0 < record["seconds_per_step"] < record["seconds"]
    assert set(record["before"]) == {"mean_distance", "near_another", "outside_7x7"}
    assert record["before"]["mean_distance"] != record["after"]["mean_distance"]
    assert record["versions"]["torch"] == torch.__version__


def test_nothing_is_written_and_nothing_kept_in_the_process(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = [len(kind._instance_dict) for kind in (MMLogger, MessageHub, Visualizer)]
    train_cell(cell(config))
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["noise.py"]
    assert [len(kind._instance_dict) for kind in (MMLogger, MessageHub, Visualizer)] == kept


def test_validation_and_test_come_once_at_the_end(config, monkeypatch):
    seen = []
    compute = Loss.compute_metrics
    monkeypatch.setattr(
        Loss, "compute_metrics", lambda self, results: seen.append(1) or compute(self, results)
    )
    train_cell(cell(config, {"train_cfg.max_iters": 5}))
    assert len(seen) == 2


def test_a_config_without_a_test_part_has_no_figures_of_it(config):
    none = dict(test_dataloader=None, test_cfg=None, test_evaluator=None)
    assert train_cell(cell(config, none))["test"] == {}


def test_a_config_without_validation_is_refused(config):
    with pytest.raises(InputError, match="validates nothing"):
        train_cell(cell(config, dict(val_dataloader=None, val_cfg=None, val_evaluator=None)))


def test_a_validation_without_a_number_is_refused(config, monkeypatch):
    monkeypatch.setattr(Loss, "compute_metrics", lambda self, results: dict(words="fine"))
    with pytest.raises(InputError, match=r"validation of .*noise\.py gives no number"):
        train_cell(cell(config))


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("param_scheduler", dict(type="ReduceOnPlateauLR", monitor="loss")),
        ("custom_hooks", dict(type="EarlyStoppingHook", monitor="loss")),
    ],
)
def test_what_follows_validations_is_refused(config, key, kind):
    with pytest.raises(InputError, match=rf"{key}\.0 of .*noise\.py is a {kind['type']}"):
        train_cell(cell(config, {key: [kind]}))


def test_a_validation_that_found_nothing_is_a_record_without_a_figure(config, monkeypatch):
    monkeypatch.setattr(Loss, "compute_metrics", lambda self, results: {})
    assert train_cell(cell(config))["validation"] == {}


def test_a_record_has_the_warnings_of_its_training(config):
    rate = dict(position_lr_mult=None, position_travel=3.0)
    paramwise = {f"optim_wrapper.paramwise_cfg.{name}": value for name, value in rate.items()}
    (line,) = train_cell(cell(config, paramwise))["warnings"]
    assert "lets a position move by 6 cells in one step" in line


def test_figures_before_training_are_those_of_the_weights_it_starts_from(config, tmp_path):
    base = Config.fromfile(config)
    init_default_scope("mmengine")
    state = MODELS.build(base.model).state_dict()
    state = {k: v.fill_(3.0) if k.endswith("positions") else v for k, v in state.items()}
    file = tmp_path / "start.pth"
    torch.save(dict(state_dict=state), file)
    still = {"load_from": str(file), "optim_wrapper.optimizer.lr": 0.0}
    record = train_cell(cell(config, still))
    assert record["before"] == record["after"]
    assert record["before"]["mean_distance"] == pytest.approx(3 * 2**0.5)


@pytest.mark.parametrize(
    ("change", "kernels"),
    [
        # Drawn alike: positions start near the centre, however large the kernel.
        (dict(kernel_size=17), set()),
        (dict(kernel_count=7), {"stages.0.positions", "stages.0.0.dwconv.weight"}),
    ],
)
def test_arms_start_from_the_same_weights_but_for_their_kernels(config, change, kernels):
    base = Config.fromfile(config)
    init_default_scope("mmengine")
    changed = Config(base.to_dict())
    changed.model.backbone.update(change)
    models = []
    for cfg in (base, changed):
        set_random_seed(3)
        model = MODELS.build(cfg.model)
        start_alike(model, base, 3)
        models.append(model)
    ours, theirs = (model.state_dict() for model in models)
    assert ours.keys() == theirs.keys()
    different = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    assert different == {f"backbone.{name}" for name in kernels}
    # What the Runner does when training begins changes nothing.
    before = {name: value.clone() for name, value in theirs.items()}
    models[1].init_weights()
    assert all(torch.equal(value, theirs[name]) for name, value in before.items())
