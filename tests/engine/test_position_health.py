"""How positions fare reaches the log and every visual backend; what goes wrong is said once."""

import json
import logging
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS, VISBACKENDS
from mmengine.runner import Runner
from mmengine.visualization import BaseVisBackend
from torch import nn

from helpers.catalogue import CONFIGS
from helpers.training import BACKBONE, training
from mmdcls.dcls import Dcls1d, Dcls2d, Dcls3d, position_figures, position_limits
from mmdcls.dcls.failure_signatures import LIMITS, Group
from mmdcls.dcls.position_health import groups_of
from mmdcls.dcls.position_record import positions_line, read_positions
from mmdcls.engine import PositionHealth
from mmdcls.engine.position_health import RECORD, SIGNATURES
from mmdcls.errors import InputError
from mmdcls.models import DclsConvNeXt

QUIET = dict.fromkeys(LIMITS)
STAGES = [f"backbone.stages.{number}" for number in range(4)]


@VISBACKENDS.register_module()
class Recorder(BaseVisBackend):
    """What every backend gets: TensorBoard's and W&B's have these methods too."""

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir)
        self.scalars: list[tuple[str, int, float]] = []
        self.images: list[tuple[str, int, np.ndarray]] = []

    experiment = property(lambda self: self)

    def _init_env(self) -> None:
        pass

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path=None, **others) -> None:
        self.scalars += [(name, step, value) for name, value in scalar_dict.items()]

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **others) -> None:
        self.images.append((name, step, image))

    def figures(self, step: int) -> dict[str, float]:
        return {name: v for name, s, v in self.scalars if s == step and "positions/" in name}


@HOOKS.register_module()
class Prepare(Hook):
    """Change the model once before training: `change` is a key of CHANGES."""

    def __init__(self, change: str) -> None:
        self.change = change

    def before_train(self, runner: Runner) -> None:
        with torch.no_grad():
            for stage in runner.model.backbone.stages[:2]:
                CHANGES[self.change](stage)

    priority = "VERY_HIGH"


def to_the_border(stage: nn.Module) -> None:
    stage.positions[1].fill_(position_limits(stage.kernel_size[1])[0])


def to_the_centre(stage: nn.Module) -> None:
    stage.positions.fill_(0.1)


def to_the_floor(stage: nn.Module) -> None:
    stage.sigma.fill_(-0.01)


CHANGES = dict(
    most_at_border=to_the_border,
    most_at_centre=to_the_centre,
    most_at_floor=to_the_floor,
    most_near_another=to_the_centre,
    least_movement=lambda stage: stage.positions.register_hook(torch.zeros_like),
    frozen=lambda stage: stage.positions.requires_grad_(False),
    narrow_and_frozen=lambda stage: stage.sigma.requires_grad_(False).zero_(),
)


def new_runner(tmp_path: Path, *hooks: dict, options: dict | None = None, **arguments) -> Runner:
    """Every position moves, by about the rate, in each iteration."""
    arguments = {**dict(interval=2, picture_interval=0), **arguments}
    hook = dict(type="mmdcls.PositionHealth", **arguments)
    backends = [dict(type="LocalVisBackend"), dict(type="Recorder")]
    cfg = training(tmp_path, [dict(type="mmdcls.ClampPositions"), *hooks, hook])
    cfg.visualizer.vis_backends = backends
    cfg.merge_from_dict(
        {
            "model.backbone.interpolation": "gaussian",
            "optim_wrapper.optimizer": dict(type="Adam", lr=0.1),
            **(options or {}),
        }
    )
    return Runner.from_cfg(cfg)


def recorder(runner: Runner) -> Recorder:
    return runner.visualizer.get_backend("Recorder")


def warnings_of(runner: Runner) -> list[str]:
    """Of ours in the log of the run."""
    log = next(Path(runner.log_dir).glob("*.log")).read_text()
    problems = [signature.problem for signature in SIGNATURES.values()]
    return [
        line for line in log.splitlines() if "WARNING" in line and any(p in line for p in problems)
    ]


def test_figures_of_every_stage_reach_the_log_and_every_backend_once(tmp_path):
    runner = new_runner(tmp_path)
    owners = {name: runner.model.get_submodule(name) for name in STAGES}
    start = {name: owner.positions.detach().clone() for name, owner in owners.items()}
    runner.train()
    expected = {
        f"positions/{name}/{figure}": pytest.approx(value)
        for name, figures in position_figures(runner.model, start).items()
        for figure, value in figures.items()
    }
    assert len(expected) == len(STAGES) * 10
    found = recorder(runner)
    assert found.figures(4) == expected
    assert set(found.figures(2)) == set(expected)
    assert not found.figures(1) and not found.figures(3)
    assert set(Counter((name, step) for name, step, _ in found.scalars).values()) == {1}
    lines = Path(runner.log_dir, "vis_data", "scalars.json").read_text().splitlines()
    lines = [line for line in map(json.loads, lines) if "positions/" in str(line)]
    assert [line.pop("step") for line in lines] == [2, 4]
    assert lines[1] == expected
    log = next(Path(runner.log_dir).glob("*.log")).read_text()
    tables = log.split("Positions after ")[1:]
    assert [table.split()[0] for table in tables] == ["2", "4"]
    for table in tables:
        rows = table.splitlines()[1:6]
        assert rows[0].split() == [name.rpartition("/")[2] for name in list(expected)[:10]]
        assert [row.split()[0] for row in rows[1:]] == STAGES
        assert len({len(row) for row in rows}) == 1


def test_pictures_reach_every_backend(tmp_path):
    runner = new_runner(tmp_path, picture_interval=4)
    runner.train()
    [(name, step, image)] = recorder(runner).images
    assert (name, step) == ("positions", 4)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    written = cv2.imread(str(Path(runner.log_dir, "vis_data", "vis_image", "positions_4.png")))
    np.testing.assert_array_equal(written[..., ::-1], image)
    assert image.std() > 10


@pytest.mark.parametrize("interval", [3, 4, 0])
def test_positions_are_recorded_at_the_start_as_often_as_drawn_and_at_the_end(tmp_path, interval):
    runner = new_runner(tmp_path, picture_interval=interval)
    start = runner.model.get_submodule(STAGES[0]).positions.clone()
    runner.train()
    file = Path(runner.log_dir) / RECORD
    assert file.exists() == bool(interval)
    if interval:
        steps = [json.loads(line)["step"] for line in file.read_text().splitlines()]
        assert steps == sorted({0, interval, 4})
        record = read_positions(file)
        assert list(record[0]) == STAGES
        for step, wanted in ((0, start), (4, runner.model.get_submodule(STAGES[0]).positions)):
            found = record[step][STAGES[0]].offsets
            np.testing.assert_allclose(found, wanted.detach().flatten(1, 2), atol=0.00501)


def test_a_resumed_run_is_drawn_whole_and_another_one_alone(tmp_path, monkeypatch):
    """An earlier run counts up to where the next one took it up."""
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "tools"))
    from analysis_tools.draw_positions_over_time import main, record_of

    def run(name: str, *steps: int) -> None:
        folder = tmp_path / name / "vis_data"
        folder.mkdir(parents=True)
        layer = Dcls2d(2, 2, 7, kernel_count=2)
        lines = [positions_line(layer, step) for step in steps]
        (folder / "positions.json").write_text("".join(lines))

    def origin(step: int) -> float:
        return record_of(tmp_path)[step][""].offsets.sum()

    with pytest.raises(InputError, match="holds no positions"):
        record_of(tmp_path)
    run("20200101_000000", 0, 2, 9)
    run("20200102_000000", 0, 2, 4)
    second = {step: origin(step) for step in (0, 2, 4)}
    run("20200103_000000", 3, 5)
    assert sorted(record_of(tmp_path)) == [0, 2, 3, 5]
    assert all(origin(step) == second[step] for step in (0, 2))
    main([str(tmp_path), "--out", str(tmp_path / "picture.png")])
    assert cv2.imread(str(tmp_path / "picture.png")).std() > 10


@pytest.mark.parametrize("shared", [True, False])
def test_blocks_of_a_stage_are_measured_together(shared):
    backbone = {key: value for key, value in BACKBONE.items() if key != "type"}
    model = DclsConvNeXt(**backbone, share_positions=shared)
    groups = groups_of(model)
    assert list(groups) == [f"stages.{number}" for number in range(4)]
    last = ["stages.3"] if shared else ["stages.3.0.dwconv", "stages.3.1.dwconv"]
    assert list(groups["stages.3"]) == last


def test_layers_of_other_networks_are_measured_one_by_one_without_those_that_cannot_move():
    def layer(size: int) -> Dcls2d:
        return Dcls2d(2, 2, size, kernel_count=2)

    model = nn.Sequential(layer(3), nn.Sequential(layer(1), layer(5)), nn.Linear(1, 1))
    groups = groups_of(model)
    assert groups == {"0": {"0": model[0]}, "1.1": {"1.1": model[1][1]}}


@pytest.mark.parametrize("layer", [Dcls1d, Dcls2d, Dcls3d])
@pytest.mark.parametrize("count", [1, 3])
def test_kernels_of_any_number_of_axes_and_elements_are_measured(tmp_path, layer, count):
    measured(tmp_path, layer, 5, count, pictures=layer.axes == 2)


@pytest.mark.parametrize(
    ("layer", "size", "pictures"),
    [(Dcls2d, (1, 7), 0), (Dcls3d, (3, 1, 1), 0), (Dcls3d, (1, 5, 3), 1)],
)
def test_so_are_kernels_with_axes_of_one_cell(tmp_path, layer, size, pictures):
    """And drawn by the axes on which elements move."""
    measured(tmp_path, layer, size, 3, pictures)


def measured(tmp_path, layer, size, count: int, pictures: int) -> None:
    name = f"Single{layer.__name__}"
    axes = layer.axes

    class Single(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(layer(1, 2, size, padding=3, kernel_count=count))

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [super().forward({1: x[:, :1, 0], 2: x[:, :1], 3: x[:, None]}[axes])]

    MODELS.register_module(name=name, module=Single, force=True)
    runner = new_runner(
        tmp_path, picture_interval=4, options={"model.backbone": dict(type=name, _delete_=True)}
    )
    runner.train()
    figures = recorder(runner).figures(4)
    assert ("positions/backbone.0/neighbour_distance" in figures) == (count > 1)
    assert figures["positions/backbone.0/movement"] > 0
    assert len(recorder(runner).images) == pictures


def test_a_model_without_positions_trains_as_before(tmp_path):
    plain = dict(type="mmdcls.Dcls2d", in_channels=3, out_channels=4, kernel_size=1, kernel_count=1)
    runner = new_runner(
        tmp_path, picture_interval=2, options={"model.backbone": dict(_delete_=True, **plain)}
    )
    runner.train()
    assert not recorder(runner).figures(4)
    assert not recorder(runner).images


def test_movement_is_counted_from_the_first_start_after_a_resume(tmp_path):
    first = new_runner(tmp_path)
    start = {name: first.model.get_submodule(name).positions.clone() for name in STAGES}
    keys = set(first.model.state_dict())
    first.train()
    checkpoint = torch.load(tmp_path / "iter_4.pth", weights_only=True)
    assert set(checkpoint["state_dict"]) == keys
    again = new_runner(tmp_path, options={"resume": True, "train_cfg.max_iters": 6})
    again.train()
    assert again.iter == 6
    moved = {
        name: (again.model.get_submodule(name).positions - start[name]).norm(dim=0).mean().item()
        for name in STAGES
    }
    found = recorder(again).figures(6)
    assert {name: found[f"positions/{name}/movement"] for name in STAGES} == pytest.approx(moved)
    assert torch.load(tmp_path / "iter_6.pth", weights_only=True)["position_health"]["start"]


def test_movement_is_counted_from_what_training_starts_with(tmp_path):
    """Weights to start from, and a checkpoint of a run without the hook."""
    new_runner(tmp_path / "first").train()
    file = tmp_path / "first" / "iter_4.pth"
    checkpoint = torch.load(file, weights_only=True)
    trained = checkpoint["state_dict"]
    del checkpoint["position_health"]
    torch.save(checkpoint, tmp_path / "without.pth")
    for options in (
        {"load_from": str(file)},
        {"load_from": str(tmp_path / "without.pth"), "resume": True, "train_cfg.max_iters": 6},
    ):
        runner = new_runner(tmp_path / "second", options=options)
        runner.train()
        name = STAGES[1]
        moved = runner.model.get_submodule(name).positions - trained[f"{name}.positions"]
        found = recorder(runner).figures(runner.iter)[f"positions/{name}/movement"]
        assert found == pytest.approx(moved.norm(dim=0).mean().item())


def test_every_signature_is_provoked():
    assert set(SIGNATURES) <= set(CHANGES)
    assert set(SIGNATURES) == set(QUIET)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_failure_is_said_once_with_stage_figure_and_what_to_change(tmp_path, signature):
    # So slow that what is prepared remains.
    options = {"optim_wrapper.optimizer.lr": 1e-3}
    defaults = PositionHealth().limits
    arguments = {**QUIET, signature: defaults[signature]}
    if signature == "least_movement":
        options = {}
    prepare = dict(type="Prepare", change=signature)
    runner = new_runner(tmp_path, prepare, options=options, interval=1, **arguments)
    runner.train()
    [line] = warnings_of(runner)
    figures = recorder(runner).figures(4)
    row = SIGNATURES[signature]
    for name in STAGES[:2]:
        value = figures[f"positions/{name}/{row.figure}"]
        shown = f"{value:.0%}" if row.as_share else f"{value:.3g} cells"
        assert f"{name} ({shown})" in line
    assert STAGES[2] not in line
    assert row.advice in line
    assert "paramwise_cfg" in row.advice


@pytest.mark.parametrize("change", [None, "frozen", "narrow_and_frozen"])
def test_training_that_is_well_or_held_still_on_purpose_is_not_warned_of(tmp_path, change):
    hooks = [dict(type="Prepare", change=change)] if change else []
    runner = new_runner(tmp_path, *hooks, interval=1)
    for stage in runner.model.backbone.stages:
        nn.init.ones_(stage.sigma)
    runner.train()
    assert not warnings_of(runner)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_what_may_be_so_at_the_start_is_judged_only_after_the_grace(tmp_path, signature):
    runner = new_runner(
        tmp_path,
        dict(type="Prepare", change=signature),
        options={"optim_wrapper.optimizer.lr": 1e-3},
        interval=1,
        grace=0.75,
        **{**QUIET, signature: PositionHealth().limits[signature]},
    )
    steps = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if SIGNATURES[signature].problem in record.getMessage():
                steps.append(runner.iter + 1)

    handler = Listener()
    runner.logger.addHandler(handler)
    runner.train()
    assert steps == [3 if SIGNATURES[signature].needs_time else 1]


@pytest.mark.parametrize(
    ("size", "share", "is_bad"),
    [(17, 0.6, True), (17, 0.4, False), (3, 0.6, False), (3, 0.95, True), (2, 1.0, False)],
)
def test_in_a_small_kernel_it_takes_more_to_crowd_the_border(size, share, is_bad):
    group = Group("layer", [Dcls2d(1, 1, size, kernel_count=2)], dict(at_border=share))
    assert SIGNATURES["most_at_border"].is_shown_by(group, 0.5) == is_bad


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("interval", 0),
        ("interval", 2.5),
        ("interval", True),
        ("picture_interval", -1),
        ("grace", 1.5),
        ("grace", None),
        ("grace", float("nan")),
        *((name, value) for name in QUIET for value in (-1, "much", float("nan"))),
    ],
)
def test_a_bad_argument_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name}={value!r} must be "):
        PositionHealth(**{name: value})
