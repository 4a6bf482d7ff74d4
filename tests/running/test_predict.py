"""Inference by OpenMMLab's own Inferencers with our configs, and by `mmdcls predict`."""

import json
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
from mmdet.apis import DetInferencer
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer

from helpers import synthetic
from helpers.catalogue import leaf_of, load
from helpers.untrained import Files, write_untrained
from helpers.without import run_without
from mmdcls import commands

LEAVES = {"seg": leaf_of("upernet", "tiny_"), "det": leaf_of("mask_rcnn", "-t_")}
INFERENCERS = {"seg": MMSegInferencer, "det": DetInferencer}
each_task = pytest.mark.parametrize("task", LEAVES)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Files]:
    files = {}
    for task, leaf in LEAVES.items():
        options = {"visualizer.name": f"predict_{task}"}
        if task == "seg":
            options |= synthetic.quarter_size(load(leaf))
        files[task] = write_untrained(leaf, tmp_path_factory.mktemp(task), options)
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two images, one of them in a folder below, and a file that is none."""
    root = tmp_path_factory.mktemp("images")
    (root / "below").mkdir()
    for place, image in zip(("a.png", "below/b.jpg"), synthetic.images(), strict=False):
        cv2.imwrite(str(root / place), image)
    (root / "notes.txt").write_text("no image")
    return root


@each_task
def test_an_inferencer_takes_a_file_a_folder_and_an_array(task, models, folder, tmp_path):
    init_default_scope(f"mm{task}")
    inferencer = INFERENCERS[task](*models[task], device="cpu")
    image = folder / "a.png"
    given = dict(file=str(image), array=mmcv.imread(str(image)), folder=str(folder / "below"))
    found = {}
    for kind, inputs in given.items():
        result = inferencer(inputs, return_vis=True, out_dir=str(tmp_path / kind))
        prediction, drawn = result["predictions"], result["visualization"]
        if task == "det":
            (prediction,), (drawn,) = prediction, drawn
            assert len(prediction["bboxes"]) > 0
        else:
            assert prediction.shape == synthetic.IMAGE_SIZE
        assert drawn.shape == (*synthetic.IMAGE_SIZE, 3)
        assert len(list((tmp_path / kind / "vis").iterdir())) == 1
        found[kind] = prediction
    np.testing.assert_equal(found["array"], found["file"])


@each_task
def test_an_inferencer_needs_nothing_imported_but_the_config(task, models):
    """It opens the checkpoint, with a Runner's log in it, before it builds our backbone."""
    name = INFERENCERS[task].__name__
    code = f"from mm{task}.apis import {name}\n{name}(*{tuple(models[task])!r}, device='cpu')"
    run_without([], code)


@each_task
def test_the_command_predicts_files_and_folders(task, models, folder, tmp_path, capsys):
    # An image that is given twice is predicted once.
    arguments = [*models[task], str(folder), str(folder / "below" / "b.jpg")]
    out = tmp_path / "out"
    assert commands.main(["predict", *arguments, "--out", str(out), "--device", "cpu"]) in (0, None)
    suffix = "png" if task == "seg" else "json"
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    names = ("a", "below/b")
    assert written == {f"{n}.{suffix}" for n in names} | {f"{n}_drawn.jpg" for n in names}
    assert "2 pictures" in capsys.readouterr().out
    for name in names:
        assert cv2.imread(str(out / f"{name}_drawn.jpg")).shape == (*synthetic.IMAGE_SIZE, 3)
        if task == "seg":
            labels = cv2.imread(str(out / f"{name}.png"), cv2.IMREAD_UNCHANGED)
            assert labels.shape == synthetic.IMAGE_SIZE
            assert labels.max() < 150
        else:
            found = json.loads((out / f"{name}.json").read_text())
            assert len(found["bboxes"]) == len(found["scores"]) == len(found["labels"]) > 0


def test_images_that_differ_by_their_suffix_are_kept_apart_and_output_is_no_input(
    models, folder, tmp_path
):
    given = tmp_path / "given"
    given.mkdir()
    image = cv2.imread(str(folder / "a.png"))
    for name in ("a.png", "a.jpg", "b.png"):
        cv2.imwrite(str(given / name), image)
    out = given / "out"
    for _ in range(2):
        commands.main(["predict", *models["seg"], str(given), "--out", str(out), "--device", "cpu"])
    assert {path.name for path in out.glob("*.png")} == {"a.png.png", "a.jpg.png", "b.png"}


def test_the_label_image_is_the_prediction_of_the_test(models, folder, tmp_path):
    inferencer = MMSegInferencer(*models["seg"], device="cpu")
    wanted = inferencer(str(folder / "a.png"))["predictions"]
    out = tmp_path / "out"
    commands.main(["predict", *models["seg"], str(folder / "a.png"), "--out", str(out)])
    np.testing.assert_array_equal(cv2.imread(str(out / "a.png"), cv2.IMREAD_UNCHANGED), wanted)
