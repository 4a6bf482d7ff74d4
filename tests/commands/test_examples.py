"""The example that each command's --help shows runs as it stands, where its files are."""

import shlex
import shutil
from pathlib import Path

import cv2
import pytest

from helpers import synthetic
from helpers.provocations import new_trial, short_runs
from mmdcls import commands
from mmdcls.commands import COMMANDS

pytestmark = pytest.mark.slow

# The name that the examples give to what a training of 160000 iterations leaves.
TRAINED = "work_dirs/mine/iter_160000.pth"
PUBLISHED = "upernet_convnext_dcls_tiny_1k_512x512.pth"


def example_of(command: str, capsys: pytest.CaptureFixture) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        commands.main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    _, _, example = text.rpartition("\nexample:\n")
    program, *words = shlex.split(example)
    assert (program, words[0]) == ("mmdcls", command)
    return words


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with what the examples name: a config with data, its checkpoints, images."""
    folder = tmp_path_factory.mktemp("examples")
    trial = new_trial("seg", folder)
    trial.cfg.dump(folder / "mine.py")
    config, trained = str(folder / "mine.py"), str(folder / TRAINED)
    with short_runs():
        commands.main(["train", config, "--work-dir", str(folder / "trained")])
    (folder / TRAINED).parent.mkdir(parents=True)
    (folder / "trained/iter_1.pth").rename(trained)
    given = [trained, str(folder / PUBLISHED), "--config", config, "--to", "published"]
    commands.main(["convert", *given])
    (folder / "folder").mkdir()
    for name, image in zip(("image.jpg", "folder/1.jpg"), synthetic.images(), strict=False):
        cv2.imwrite(str(folder / name), image)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_a_command_runs(command, files, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "here"
    shutil.copytree(files, folder)
    if command == "config":
        (folder / "mine.py").unlink()
    monkeypatch.chdir(folder)
    # Only the installation that the tests run in decides whether doctor finds a problem.
    expected = {0, 1} if command == "doctor" else {0}
    with short_runs():
        assert commands.main(example_of(command, capsys)) in expected
    assert capsys.readouterr().out
