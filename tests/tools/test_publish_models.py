"""Small models as safetensors: `mmdcls predict` finds by them what it finds by the checkpoint."""

import hashlib
import json

import cv2
import numpy as np
import pytest
import torch

from helpers import synthetic
from helpers.catalogue import CONFIGS
from helpers.rasters import write_digits
from helpers.untrained import write_model
from mmdcls import commands
from mmdcls.config import read_config

ROOT = CONFIGS.parent


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import publish_models

    return publish_models


@pytest.mark.slow
@pytest.mark.parametrize("kind", [torch.float32, torch.float16], ids=str)
def test_a_published_model_predicts_as_its_checkpoint(tool, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    model = tool.MODELS["seg"]
    leaf = ROOT / model.config
    files = write_model(read_config(str(leaf)), tmp_path)
    target = tmp_path / "seg.safetensors"
    # There are no cells to judge by.
    monkeypatch.setattr(tool, "figures_of", lambda *_: {"mIoU": 0.5})
    tool.publish(model, files.checkpoint, target, 3, kind)
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), next(synthetic.images()))
    found = []
    for file, out in ((files.checkpoint, "one"), (target, "two")):
        commands.main(
            ["predict", str(leaf), str(file), str(image), "--out", str(tmp_path / out)]
            + ["--device", "cpu"]
        )
        found.append(cv2.imread(str(tmp_path / out / "image.png"), cv2.IMREAD_GRAYSCALE))
    agreement = np.mean(found[0] == found[1])
    assert agreement == 1 if kind == torch.float32 else agreement > 0.98
    card = target.with_suffix(".md").read_text()
    checksum = hashlib.sha256(target.read_bytes()).hexdigest()
    for fact in ("seed 3", "mIoU 0.500", "cells and nuclei", checksum, leaf.name):
        assert fact in card
    assert target.stat().st_size < (5.2e6 if kind == torch.float16 else 10.3e6)


def test_a_model_is_trained_once_and_its_card_has_the_figures_of_the_file(
    tool, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "data/delays/digits.npz")
    tool.main(["delays", "--seed", "1"])
    (checkpoint,) = tmp_path.glob("work_dirs/models/delays_seed1/*.pth")
    written = checkpoint.stat().st_mtime_ns
    tool.main(["delays", "--seed", "1", "--out", "here"])
    assert checkpoint.stat().st_mtime_ns == written
    files = [tmp_path / folder / "delays.safetensors" for folder in ("work_dirs/models", "here")]
    first, second = (file.read_bytes() for file in files)
    assert first == second
    commands.main(["test", str(ROOT / "projects/delays/configs/digits.py"), str(files[1])])
    (metrics,) = tmp_path.glob("work_dirs/digits/*/*.json")
    card = files[1].with_suffix(".md").read_text()
    accuracy = json.loads(metrics.read_text())["accuracy"]
    assert f"accuracy {accuracy:.1f} %" in card and "seed 1" in card
    assert "here/delays.safetensors" in card


def test_an_unknown_model_is_answered_with_those_that_are_there(tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(["cats"])
    assert "there are cells, delays, audio, seg, det" in capsys.readouterr().err
