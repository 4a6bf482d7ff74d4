"""Inference by OpenMMLab's own Inferencers with our configs, and by `mmdcls predict`."""

import json
import warnings
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer

from helpers import synthetic
from helpers.catalogue import leaf_of, load
from helpers.untrained import Files, write_untrained
from helpers.without import run_without
from mmdcls import commands
from mmdcls.running import prediction

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


@pytest.mark.slow
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
        drawn = cv2.imread(str(out / f"{name}_drawn.jpg"))
        if task == "seg":
            # Below it is the legend.
            assert drawn.shape[0] > synthetic.IMAGE_SIZE[0]
            assert drawn.shape[1] >= synthetic.IMAGE_SIZE[1]
            labels = cv2.imread(str(out / f"{name}.png"), cv2.IMREAD_UNCHANGED)
            assert labels.shape == synthetic.IMAGE_SIZE
            assert labels.max() < 150
        else:
            assert drawn.shape == (*synthetic.IMAGE_SIZE, 3)
            found = json.loads((out / f"{name}.json").read_text())
            assert len(found["bboxes"]) == len(found["scores"]) == len(found["labels"]) > 0


def drawn_by(files: Files, folder: Path, out: Path, capsys, *options: str) -> tuple[str, list]:
    """What the command says of objects, and their scores, image by image."""
    predict(files, folder, out, *options)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("drawn:")]
    return line, [json.loads(path.read_text())["scores"] for path in out.rglob("*.json")]


def test_of_a_detector_it_is_said_how_many_objects_were_drawn_at_which_score(
    models, folder, tmp_path, capsys
):
    line, scores = drawn_by(models["det"], folder, tmp_path / "default", capsys)
    best, several = max(max(scores)), sorted(scores[0])[-3]
    assert best < prediction.SCORE_THRESHOLD
    assert line.startswith(
        "drawn: 0 objects, those with a score above 0.3; 2 of 2 images have none"
    )
    assert f"the highest score is {best:.3g}; --score-threshold" in line
    chosen = f"--score-threshold={several}"
    line, _ = drawn_by(models["det"], folder, tmp_path / "chosen", capsys, chosen)
    count = sum(score > several for of_image in scores for score in of_image)
    assert count > 0 and line.startswith(f"drawn: {count} objects")
    # And these are in the pictures.
    pictures = [cv2.imread(str(tmp_path / n / "a_drawn.jpg")) for n in ("default", "chosen")]
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize(
    ("task", "score", "words"), [("det", "1.5", "from 0 to 1"), ("seg", "0.5", "for detectors")]
)
def test_a_threshold_that_does_not_serve_is_refused(task, score, words, models, folder, tmp_path):
    with pytest.raises(SystemExit, match=words):
        predict(models[task], folder, tmp_path / "out", "--score-threshold", score)


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


def write_image(path: Path, height: int, width: int, kind: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 200, kind))


def predict(files: Files, given: Path, out: Path, *options: str) -> set[str]:
    """The places of what is predicted."""
    commands.main(["predict", *files, str(given), "--out", str(out), "--device", "cpu", *options])
    return places_in(out)


def places_in(out: Path) -> set[str]:
    end = "_drawn.jpg"
    return {str(path.relative_to(out)).removesuffix(end) for path in out.rglob(f"*{end}")}


@pytest.mark.parametrize(
    ("task", "sizes", "faults"),
    [
        # The scale is (512, 128), and a detector pads to 32.
        ("seg", {"a": (2, 90), "c": (1, 2000)}, {"a": "11 x 512 pixels", "c": "less than a pixel"}),
        ("det", {"c": (1, 5000)}, {"c": "less than a pixel high or wide"}),
    ],
)
def test_images_too_small_for_the_network_are_left_out_and_named(
    task, sizes, faults, models, tmp_path
):
    given, out = tmp_path / "given", tmp_path / "out"
    for name, (height, width) in (sizes | dict(b=synthetic.IMAGE_SIZE)).items():
        write_image(given / f"{name}.png", height, width)
    with pytest.raises(SystemExit) as refused:
        predict(models[task], given, out)
    sentence = str(refused.value)
    assert f"Of {1 + len(sizes)} images, {len(sizes)} could not be predicted" in sentence
    for name, fault in faults.items():
        assert f"{given / name}.png is {fault}" in sentence
    assert "\n" not in sentence
    if task == "seg":
        assert "11 x 512 pixels after the test_pipeline, and the network needs 32" in sentence
    assert places_in(out) == {"b"}


def test_other_failures_of_the_network_are_not_taken_for_small_images(
    models, folder, tmp_path, monkeypatch
):
    def fail(*arguments):
        raise RuntimeError("something else")

    monkeypatch.setattr(prediction, "predict_one", fail)
    with pytest.raises(RuntimeError, match="something else"):
        predict(models["seg"], folder, tmp_path / "out")


def test_links_are_followed_and_never_in_circles(folder, tmp_path):
    given = tmp_path / "given"
    write_image(given / "own" / "x.png", 8, 8)
    (given / "camera").symlink_to(folder)
    for place, target in (("back", ".."), ("itself", "."), ("../up", "own")):
        (given / "own" / place).symlink_to(target)
    (given / "dangling").symlink_to("nowhere")
    assert {str(place) for place in prediction.images_in([given], tmp_path / "out").values()} == {
        *("camera/a", "camera/below/b"),
        *("own/x", "up/x"),
    }


@pytest.mark.parametrize(
    ("loading", "count"),
    [({}, 1), (dict(color_type="unchanged"), 0), (dict(imdecode_backend="tifffile"), 0)],
    ids=str,
)
def test_images_of_few_bits_in_sixteen_are_warned_of_once(loading, count, tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png", 8, 8)
        write_image(tmp_path / f"{name}16.png", 8, 8, np.uint16)
    pipeline = [dict(type="LoadImageFromFile", **loading), dict(type="PackSegInputs")]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        prediction.warn_of_dark(sorted(tmp_path.iterdir()), dict(pipeline=pipeline))
    sentences = [str(warning.message) for warning in found]
    assert len(sentences) == count
    assert all(f"{tmp_path / 'a16.png'} has 16 bits and values up to 200" in s for s in sentences)


@each_task
def test_images_of_few_bits_are_predicted_with_a_warning(task, models, tmp_path):
    write_image(tmp_path / "in" / "a.png", *synthetic.IMAGE_SIZE, np.uint16)
    with pytest.warns(UserWarning, match="a.png has 16 bits and values up to 200"):
        assert predict(models[task], tmp_path / "in", tmp_path / "out") == {"a"}


@each_task
def test_names_and_pipeline_are_those_of_the_first_test_data_set(
    task, models, folder, tmp_path, monkeypatch
):
    """Whatever the checkpoint holds beside weights, and however the data set is wrapped."""
    cfg = Config.fromfile(models[task].config)
    part = cfg.test_dataloader.dataset
    names = [f"mine {index}" for index in range(len(synthetic.classes_of(f"mm{task}", part)))]
    own = dict(part, metainfo=dict(classes=names, palette=[[1, 2, 3]] * len(names)))
    if task == "seg":
        own["type"] = "BaseSegDataset"
    repeated = dict(type="RepeatDataset", times=2, dataset=own)
    cfg.test_dataloader.dataset = dict(type="ConcatDataset", datasets=[repeated, part])
    files = Files(str(tmp_path / "config.py"), str(tmp_path / "weights.pth"))
    cfg.dump(files.config)
    torch.save(torch.load(models[task].checkpoint, weights_only=True)["state_dict"], files[1])
    used = []

    def keep(inferencer, *arguments):
        used.append(inferencer)
        return predict_one(inferencer, *arguments)

    predict_one = prediction.predict_one
    monkeypatch.setattr(prediction, "predict_one", keep)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert predict(files, folder, tmp_path / "out") == {"a", "below/b"}
    assert not [one for one in told if "classes of C" in str(one.message)]
    assert list(used[0].visualizer.dataset_meta["classes"]) == names
    assert used[0].visualizer.dataset_meta["palette"][-1] == [1, 2, 3]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("test_dataloader=None", "no test_dataloader.dataset.pipeline"),
        ("test_dataloader.dataset.type=BaseSegDataset", "names the classes"),
    ],
)
def test_what_a_prediction_needs_of_the_config(option, words, models, folder, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(torch.load(models["seg"].checkpoint, weights_only=True)["state_dict"], weights)
    files = Files(models["seg"].config, str(weights))
    with pytest.raises(SystemExit, match=words):
        predict(files, folder, tmp_path / "out", "--cfg-options", option)
