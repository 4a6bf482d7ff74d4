"""Data and checkpoints that cannot serve get one clear sentence and leave nothing behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from provocations import (
    LABEL_MAP,
    LEAVES,
    STRANGER,
    TRAIN,
    TRAINING_IMAGE,
    Case,
    Trial,
    build_model,
    cut,
    expect,
    few_classes,
    fewer_labels,
    in_worker,
    loaded,
    nested,
    new_trial,
    other_categories,
    paint,
    pretrained,
    remove,
    saved,
    set_to,
    unlabelled,
    weights,
    wider,
)

from mmdcls.engine import check_pretrained


def checkpoint_case(name: str, content: object, words: tuple[str, ...]) -> Case:
    return Case(name, saved(content), words)


FILES = [
    Case("no label map", remove(LABEL_MAP), ("1 of 3 images", LABEL_MAP, "seg_map_suffix='.png'")),
    Case(
        "no image of that suffix",
        set_to({f"{TRAIN}.img_suffix": ".tif", f"{TRAIN}.serialize_data": True}),
        ("no image", "img_suffix", "classes"),
    ),
    Case("no object of that class", other_categories, ("no image", "classes"), "det"),
    Case(
        "empty image", cut(TRAINING_IMAGE["seg"], 0), ("image", "1.jpg cannot be read", "replace")
    ),
    Case("broken image", cut(TRAINING_IMAGE["seg"], 99), ("image", "1.jpg cannot be read")),
    Case("broken image", cut(TRAINING_IMAGE["det"], 99), ("image", "1.jpg cannot be read"), "det"),
    Case(
        "broken image, seen by a worker",
        in_worker(cut(TRAINING_IMAGE["seg"], 99)),
        ("1.jpg cannot be read",),
    ),
    Case("no image", remove(TRAINING_IMAGE["det"]), ("1.jpg is not there",), "det"),
    Case("broken label map", cut(LABEL_MAP, 50), ("label map", "1.png cannot be read")),
    Case(
        "label above num_classes",
        paint(LABEL_MAP, 151),
        ("1.png has the label 151", "decode_head.num_classes=150", "1 to 150", "0 for no class"),
    ),
    Case(
        "label above num_classes, zero is a class",
        unlabelled,
        ("1.png has the label 150", "decode_head.num_classes=150", "0 to 149, and 255"),
    ),
    Case("label map in colour", paint(LABEL_MAP, 1, 3), ("1.png", "in colour", "one channel")),
    Case(
        "object above num_classes",
        few_classes,
        (".jpg", "class 1", "bbox_head.num_classes=1"),
        "det",
    ),
    Case(
        "start from a checkpoint of another model",
        loaded("load_from", saved(STRANGER)),
        ("given.pth", "another model", "is not there", "more", "conv1.weight", "config"),
    ),
    Case(
        "start from a wider model",
        loaded("load_from", saved(wider)),
        (
            "given.pth",
            "another model",
            "downsample_layers.0.0.bias is (48,) there and (24,) in the model",
        ),
    ),
    Case(
        "pretrained backbone, nested",
        pretrained(saved(nested)),
        ("model.backbone.init_cfg", "another model", "the file has model", "prefix"),
    ),
    Case(
        "pretrained backbone without prefix",
        pretrained(saved(weights)),
        ("prefix=''", "another model", "the file has backbone."),
    ),
]
TESTS = [
    checkpoint_case("another model", STRANGER, ("given.pth", "another model", "conv1.weight")),
    checkpoint_case("no weights", dict(epoch=3), ("given.pth", "another model", "epoch")),
    checkpoint_case(
        "another number of classes",
        fewer_labels,
        ("2 of", "decode_head.conv_seg.weight is (5, ", "there and (150, "),
    ),
]
RESUMES = [
    checkpoint_case("another model", STRANGER, ("given.pth", "another model", "conv1.weight")),
    checkpoint_case(
        "weights only", lambda t: weights(t)["state_dict"], ("weights only", "load_from")
    ),
]


@pytest.mark.parametrize("case", FILES, ids=str)
def test_training_is_refused_with_a_sentence_and_no_files(case: Case, tmp_path: Path):
    trial = new_trial(case.task, tmp_path)
    case.provoke(trial)
    expect(case.words, trial.refusal("train"))
    assert not trial.work_dir.exists()


@pytest.mark.parametrize("case", TESTS, ids=str)
def test_testing_is_refused_with_a_sentence_and_no_files(case: Case, tmp_path: Path):
    trial = new_trial(case.task, tmp_path)
    expect(case.words, trial.refusal("test", case.provoke(trial)))
    assert not trial.work_dir.exists()


@pytest.mark.parametrize("case", RESUMES, ids=str)
def test_resuming_is_refused_with_a_sentence_and_no_files(case: Case, tmp_path: Path):
    trial = new_trial(case.task, tmp_path)
    expect(case.words, trial.refusal("train", "--resume", case.provoke(trial)))
    assert not trial.work_dir.exists()


def test_files_of_an_earlier_run_stay_when_a_run_is_refused(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    old = trial.work_dir / "earlier" / "run.log"
    old.parent.mkdir(parents=True)
    old.write_text("kept")
    paint(LABEL_MAP, 151)(trial)
    trial.refusal("train")
    assert [path for path in trial.work_dir.rglob("*") if path.is_file()] == [old]


def test_a_run_that_fails_after_iterations_keeps_its_files(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    paint("annotations/validation/1.png", 151)(trial)
    expect(("validation/1.png", "label 151"), trial.refusal("train"))
    assert (trial.work_dir / "iter_1.pth").is_file()


@pytest.mark.parametrize("task", LEAVES)
def test_good_input_trains_resumes_starts_and_tests(task: str, tmp_path: Path):
    trial = new_trial(task, tmp_path)
    trial.run("train")
    checkpoint = str(trial.work_dir / "iter_1.pth")
    trial.merge({"train_cfg.max_iters": 2})
    trial.run("train", "--resume")
    assert (trial.work_dir / "iter_2.pth").is_file()
    trial.cfg.load_from = checkpoint
    trial.run("train")
    trial.run("test", checkpoint)


def test_a_new_head_starts_from_the_backbone_of_another(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    loaded("load_from", saved(fewer_labels))(trial)
    trial.run("train")


@pytest.mark.parametrize(
    ("prefix", "content"),
    [("backbone.", weights), ("backbone", weights), (None, lambda trial: nested(trial)["model"])],
)
def test_a_pretrained_backbone_is_taken_with_its_prefix(
    prefix: str | None, content: Callable[[Trial], dict], tmp_path: Path
):
    trial = new_trial("seg", tmp_path)
    init_cfg = dict(type="Pretrained", checkpoint=saved(content)(trial), prefix=prefix)
    check_pretrained(build_model(trial, backbone=dict(trial.cfg.model.backbone, init_cfg=init_cfg)))
