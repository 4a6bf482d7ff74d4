"""Small models as safetensors: `mmdcls predict` finds by them what it finds by the checkpoint."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers import synthetic
from helpers.catalogue import CONFIGS, leaf_of
from helpers.untrained import write_model
from mmdcls import commands
from mmdcls.config import read_config


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "tools"))
    import publish_models

    return publish_models


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_a_published_model_predicts_as_its_checkpoint(tool, tmp_path, half):
    leaf = leaf_of("demo", "mini_upernet")
    files = write_model(read_config(str(leaf)), tmp_path)
    target = tmp_path / "seg.safetensors"
    tool.publish(leaf, files.checkpoint, target, {"mIoU": 0.5}, seed=3, half=half)
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
    assert agreement == 1 if not half else agreement > 0.98
    card = target.with_suffix(".md").read_text()
    checksum = hashlib.sha256(target.read_bytes()).hexdigest()
    for fact in ("seed 3", "mIoU 0.500", "background, cell, nucleus", checksum, leaf.name):
        assert fact in card
    assert target.stat().st_size < (5.2e6 if half else 10.3e6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), [("seg", "mini_upernet"), ("det", "cascade")])
def test_a_run_of_the_demo_becomes_a_file_and_a_card(tool, tmp_path, monkeypatch, name, part):
    monkeypatch.chdir(tmp_path)

    def train(arguments: list[str]) -> None:
        folder = Path(arguments[-1])
        folder.mkdir(parents=True)
        files = write_model(read_config(str(leaf_of("demo", part))), folder)
        (folder / "last_checkpoint").write_text(files.checkpoint)
        (folder / "demo.json").write_text(json.dumps(dict(figures={"of a run": 0.25})))

    monkeypatch.setattr(tool.demo, "main", train)
    tool.main([name, "--seed", "1"])
    card = (tmp_path / f"work_dirs/models/{name}.md").read_text()
    assert "of a run 0.250" in card and "seed 1" in card
    assert (tmp_path / f"work_dirs/models/{name}.safetensors").is_file()
