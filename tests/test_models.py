"""The small models that are here are what their cards say, and a newcomer can use them at once."""

import hashlib
import json
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from helpers.catalogue import CONFIGS, skip_without
from helpers.rasters import write_digits
from mmdcls import commands, shipped
from mmdcls.checkpoint.trained import load_trained
from mmdcls.zoo import entries

ROOT = CONFIGS.parent
FOLDER = ROOT / "models"
FILES = sorted(FOLDER.glob("*.safetensors"))
each_file = pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
# What a network is built with, beside the stack.
NEEDS = dict(audio="timm")
MOST = 1.5e6


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import publish_models

    return publish_models


def card_of(file: Path) -> dict[str, str]:
    text = file.with_suffix(".md").read_text()
    return dict(re.findall(r"^\| (\w[\w ]*) \| (.*) \|$", text, re.MULTILINE))


def test_every_row_has_a_file_and_a_card_or_is_too_large(tool):
    names = {file.stem for file in FILES}
    assert names == set(tool.MODELS) - set(tool.LARGE)
    assert {path.stem for path in FOLDER.glob("*.md")} == {*names, "README"}
    page = (FOLDER / "README.md").read_text()
    assert all(f"({name}.md)" in page for name in names)
    assert all(f"`{name}`" in page for name in tool.LARGE)


def test_all_of_it_is_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST


@each_file
def test_a_card_is_of_the_file_beside_it(tool, file):
    card, content, row = card_of(file), file.read_bytes(), tool.MODELS[file.stem]
    assert card["SHA256"] == hashlib.sha256(content).hexdigest()
    assert card["file"].startswith(f"{round(len(content) / 1000)} kB, ")
    with safe_open(file, framework="pt") as opened:
        says = json.loads(opened.metadata()["mmdcls"])
    kinds = {value.dtype for value in load_file(file).values()} - {torch.int64}
    assert {str(kind) for kind in kinds} == {f"torch.{card['file'].rpartition(' ')[2]}"}
    assert card["config"] == f"`{says['config']}`, seed {says['seed']}"
    assert (says["config"], card["trained on"]) == (row.config, row.data)
    text = file.with_suffix(".md").read_text()
    assert row.says in text
    assert row.run.format(name=file.stem, config=row.config, file=f"models/{file.name}") in text
    shown = row.shown or ("IoU background", "IoU cell", "IoU nucleus", "mIoU")
    figures = card["figures"].partition(";")[0].split(", ")
    assert [figure.removesuffix(" %").rpartition(" ")[0] for figure in figures] == list(shown)


@each_file
def test_a_model_fills_its_config_and_knows_its_classes(file):
    if file.stem in NEEDS:
        skip_without(NEEDS[file.stem])
    card = card_of(file)
    # Which refuses a file with a tensor more or less.
    model = load_trained(str(ROOT / card["config"].split("`")[1]), str(file)).model
    parameters = sum(value.numel() for value in model.parameters())
    assert card["parameters"] == f"{parameters:,}"
    assert all(value.dtype == torch.float32 for value in model.parameters())


def test_the_model_predicts_on_its_image_without_anything_given(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as warned:
        commands.main(["predict", "--model", "cells", "--device", "cpu"])
    said = capsys.readouterr()
    assert "wrote 1 pictures and predictions to predictions" in said.out
    # The first that many see of the package.
    assert not [str(w.message) for w in warned if "/mm" in w.filename]
    assert "WARNING" not in said.out + said.err
    found = cv2.imread("predictions/cells.png", cv2.IMREAD_UNCHANGED)
    image = cv2.imread(str(FOLDER / "cells.png")).astype(int)
    assert found.shape == image.shape[:2] and set(np.unique(found)) == {0, 1, 2}
    assert Path("predictions/cells_drawn.jpg").is_file()
    # Nuclei are where the stain is: blue laid over grey.
    stained, nuclei = image[..., 0] - image[..., 2] > 60, found == 2
    assert (stained & nuclei).sum() / (stained | nuclei).sum() > 0.7


@pytest.mark.parametrize(
    "given",
    [
        ["--model", "cells", "{image}", "--out", "{out}"],
        ["{image}", "--out", "{out}", "--model", "cells"],
        ["{config}", "{weights}", "{image}", "--out", "{out}"],
        ["{config}", "--out", "{out}", "{weights}", "{image}"],
    ],
    ids=["name first", "name last", "files", "files with options between"],
)
def test_names_and_files_are_given_in_any_order(given, tmp_path):
    config, weights, image = shipped.model_named("cells")
    out = tmp_path / "out"
    words = dict(config=config, weights=weights, image=image, out=out)
    commands.main(["predict", "--device", "cpu", *(word.format(**words) for word in given)])
    assert {path.name for path in out.iterdir()} == {"cells.png", "cells_drawn.jpg"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--model", "cats"], "There is no model cats .*; there is cells"),
        # Which mmdcls predict does not know how to use.
        (["--model", "audio"], "There is no model audio .*; there is cells"),
    ],
)
def test_an_unknown_name_is_answered_with_those_that_are_there(given, words):
    with pytest.raises(SystemExit, match=words):
        commands.main(["predict", *given])


def test_too_few_arguments_are_answered_with_both_ways(capsys):
    with pytest.raises(SystemExit):
        commands.main(["predict", "mine.py", "image.png"])
    said = capsys.readouterr().err
    assert "CONFIG CHECKPOINT PATH" in said and "--model NAME" in said


def test_the_list_shows_the_model(capsys):
    (entry,) = (entry for entry in entries() if entry.model)
    assert shipped.models()[entry.model].config.stem == entry.name.rpartition("/")[2]
    commands.main(["list", "demo"])
    assert f"mmdcls predict --model {entry.model}" in capsys.readouterr().out


def test_the_delays_are_tested_by_the_tool(tmp_path, monkeypatch, capsys):
    """On made rasters: the figures of the card need the digits."""
    (file,) = (file for file in FILES if file.stem == "delays")
    write_digits(tmp_path / "digits.npz")
    option = f"test_dataloader.dataset.file={tmp_path / 'digits.npz'}"
    config = ROOT / card_of(file)["config"].split("`")[1]
    monkeypatch.chdir(tmp_path)
    commands.main(["test", str(config), str(file), "--cfg-options", option])
    assert re.search(r"accuracy: +\d", capsys.readouterr().out)


def test_the_sounds_have_the_names_of_their_classes():
    (file,) = (file for file in FILES if file.stem == "audio")
    with safe_open(file, framework="pt") as opened:
        says = json.loads(opened.metadata()["mmdcls"])
    assert sorted(says["dataset_meta"]["classes"]) == ["en", "es", "fr", "it", "ru"]


def test_the_image_has_the_licence_that_it_asks_for():
    notice = (FOLDER / "cells.png.license").read_text()
    for part in (
        "Copyright (c) 2025, Tim Monko",
        "Redistributions in binary form must reproduce",
        "Neither the name of copyright holder",
        "SPDX-License-Identifier: BSD-3-Clause",
    ):
        assert part in notice
