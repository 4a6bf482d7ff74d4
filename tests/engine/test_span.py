"""A hook whose time does not come in a training says so, once, before the first iteration."""

from pathlib import Path

import pytest

from helpers.tiny import Tiny, runner_of

REPULSION = dict(type="mmdcls.Repulsion")
ANNEAL = dict(type="mmdcls.AnnealSigma", from_width=3.0, to_width=0.5)
HEALTH = dict(type="mmdcls.PositionHealth", picture_interval=0)
PICTURES = dict(type="mmdcls.PositionHealth", interval=1)


def warnings_of(folder: Path, hook: dict, by_epoch: bool = False) -> list[str]:
    """In the log of four iterations, or of four epochs of two."""
    options = dict(iterations=4, by_epoch=by_epoch, log_level="WARNING")
    runner = runner_of(Tiny(), folder, [hook], **options)
    runner.train()
    log = next(Path(runner.log_dir).glob("*.log")).read_text()
    return [line for line in log.splitlines() if "does not come in a training of" in line]


@pytest.mark.parametrize(
    ("hook", "option", "last"),
    [
        (REPULSION, "begin", 3),
        (ANNEAL, "end", 3),
        (HEALTH, "interval", 4),
        (PICTURES, "picture_interval", 4),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_never_comes_is_said_and_what_just_comes_is_not(tmp_path, hook, option, last):
    assert not warnings_of(tmp_path / "in", {**hook, option: last})
    (line,) = warnings_of(tmp_path / "beyond", {**hook, option: last + 1})
    assert (
        f"{hook['type']}'s {option}={last + 1} does not come in a training of 4 iterations" in line
    )


def test_of_pictures_that_nobody_asked_for_nothing_is_said(tmp_path):
    assert not warnings_of(tmp_path, dict(type="mmdcls.PositionHealth", interval=1))


@pytest.mark.parametrize(("hook", "option", "last"), [(REPULSION, "begin", 3), (ANNEAL, "end", 3)])
def test_epochs_are_counted_as_epochs(tmp_path, hook, option, last):
    """Eight iterations, in which an eighth would have come."""
    hook = hook | dict(by_epoch=True)
    assert not warnings_of(tmp_path / "in", {**hook, option: last}, by_epoch=True)
    (line,) = warnings_of(tmp_path / "beyond", {**hook, option: last + 1}, by_epoch=True)
    assert "training of 4 epochs" in line
