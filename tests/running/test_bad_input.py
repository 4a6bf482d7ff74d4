"""Data and checkpoints that cannot serve get one clear sentence and leave nothing behind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from safetensors.torch import save_file
from torch import nn

from helpers.provocations import (
    BACKBONE,
    INSTANCES,
    LABEL_MAP,
    LEAVES,
    STRANGER,
    TRAIN,
    TRAINING_IMAGE,
    Case,
    Trial,
    annotations,
    build_model,
    cut,
    expect,
    few_classes,
    few_classes_of_the_last_stage,
    fewer_labels,
    in_worker,
    loaded,
    nested,
    new_trial,
    paint,
    pretrained,
    remove,
    saved,
    set_to,
    unlabelled,
    weights,
    wider,
    written,
)
from mmdcls.checkpoint.initial_files import check_pretrained
from mmdcls.data.labels import check_labels
from mmdcls.errors import InputError
from mmdcls.running import launch
from mmdcls.running.runner import build_runner


def checkpoint_case(name: str, content: object, words: tuple[str, ...]) -> Case:
    return Case(name, saved(content), words)


def of_mine(content: dict) -> None:
    for category in content["categories"]:
        category["name"] += " of mine"


FILES = [
    Case("no label map", remove(LABEL_MAP), ("1 of 3 images", LABEL_MAP, "seg_map_suffix='.png'")),
    Case(
        "no image of that suffix",
        set_to({f"{TRAIN}.img_suffix": ".tif", f"{TRAIN}.serialize_data": True}),
        ("no image", "img_suffix", "classes"),
    ),
    Case(
        "no category of that class",
        annotations(INSTANCES, of_mine),
        (INSTANCES, "does not know"),
        "det",
    ),
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
        ("has 80 classes", "bbox_head.num_classes=1"),
        "det",
    ),
    Case(
        "label above num_classes of the auxiliary head",
        set_to({"model.auxiliary_head.num_classes": 1}),
        (".png has the label", "auxiliary_head.num_classes=1"),
    ),
    Case(
        "object above num_classes of the masks",
        set_to({"model.roi_head.mask_head.num_classes": 1}),
        ("has 80 classes", "mask_head.num_classes=1"),
        "det",
    ),
    Case(
        "object above num_classes of the second stage",
        few_classes_of_the_last_stage,
        ("has 80 classes", "bbox_head.1.num_classes=1"),
        "det",
    ),
    Case(
        "annotations that are damaged in the middle",
        written(INSTANCES, '{"images": [}, "annotations": [], "categories": []}'),
        (INSTANCES, "is damaged", "char 12", "again"),
        "det",
    ),
    Case(
        "annotations to evaluate by that are damaged in the middle",
        lambda trial: (
            written("spoilt.json", '{"images": [}, "categories": []}')(trial),
            trial.merge({"val_evaluator.ann_file": str(trial.data / "spoilt.json")}),
        ),
        ("spoilt.json is damaged", "char 12"),
        "det",
    ),
    Case(
        "a conv_cfg that changes nothing",
        set_to(
            {
                "model.decode_head.conv_cfg": dict(
                    type="mmdcls.Dcls2d", kernel_count=3, where_kernel_size=5
                )
            }
        ),
        ("model.decode_head.conv_cfg", "where_kernel_size=5", "1x1, 3x3"),
    ),
    Case(
        "no image at all",
        annotations(INSTANCES, lambda content: content.update(images=[], annotations=[])),
        ("no image", "annotation file"),
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


def no_files(given_as: str) -> list[Case]:
    words = (f"{given_as}='no where.pth'", "no file", "name another")
    return [
        Case("no file", lambda trial: "no where.pth", words),
        Case("no name", lambda trial: "", (f"{given_as}='' names no file",)),
    ]


TESTS = [
    *no_files("checkpoint"),
    checkpoint_case("another model", STRANGER, ("given.pth", "another model", "conv1.weight")),
    checkpoint_case("no weights", dict(epoch=3), ("given.pth", "another model", "epoch")),
    checkpoint_case(
        "another number of classes",
        fewer_labels,
        ("2 of", "decode_head.conv_seg.weight is (5, ", "there and (150, "),
    ),
]
RESUMES = [
    *no_files("--resume"),
    checkpoint_case("another model", STRANGER, ("given.pth", "another model", "conv1.weight")),
    checkpoint_case(
        "weights only", lambda t: weights(t)["state_dict"], ("weights only", "load_from")
    ),
    Case("safetensors", lambda t: in_safetensors(t), ("weights alone", "that a Runner wrote")),
]


def in_safetensors(trial: Trial) -> str:
    path = trial.folder / "given.safetensors"
    save_file(weights(trial)["state_dict"], path)
    return str(path)


# What is changed between a run and its resumption.
CHANGES = [
    Case(
        "another optimiser",
        set_to({"optim_wrapper.optimizer": dict(_delete_=True, type="AdamW", lr=0.1)}),
        ("state of another optimiser", "it has no", "betas", "load_from"),
    ),
    Case(
        "other groups",
        set_to({"optim_wrapper.constructor": "mmdcls.DclsOptimWrapperConstructor"}),
        ("another optimiser", "1 groups of parameters, and the config makes", "load_from"),
    ),
    Case(
        "another kernel size",
        set_to({f"{BACKBONE}.kernel_size": 9}),
        ("trained with kernel_size=(17, 17)", "backbone.stages.0, which has (9, 9)", "config"),
    ),
    Case(
        "another interpolation",
        set_to({f"{BACKBONE}.interpolation": "bilinear_normalized"}),
        ("interpolation='bilinear' at backbone.stages.0", "and 'bilinear_normalized'"),
    ),
    Case(
        "without the optimiser",
        lambda trial: save_again(trial, lambda content: content.pop("optimizer")),
        ("iter_1.pth was saved without the state of the optimiser", "load_from"),
    ),
]


def save_again(trial: Trial, change: Callable[[dict], object]) -> None:
    path = trial.work_dir / "iter_1.pth"
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """The folder of a run of one iteration."""
    trial = new_trial("seg", tmp_path_factory.mktemp("begun"))
    trial.run("train")
    return trial.folder


@pytest.fixture
def resumed(begun: Path, tmp_path: Path) -> Trial:
    trial = new_trial("seg", tmp_path)
    shutil.copytree(begun / "work", trial.work_dir)
    trial.merge({"train_cfg.max_iters": 2})
    return trial


@pytest.mark.parametrize("case", CHANGES, ids=str)
def test_resuming_is_refused_where_what_was_saved_would_not_go_on(case: Case, resumed: Trial):
    case.provoke(resumed)
    checkpoint = str(resumed.work_dir / "iter_1.pth")
    expect(case.words, resumed.refusal("train", "--resume", checkpoint))
    assert not (resumed.work_dir / "iter_2.pth").exists()


def test_a_test_with_kernels_of_another_size_is_refused(resumed: Trial):
    resumed.merge({f"{BACKBONE}.kernel_size": 9})
    sentence = resumed.refusal("test", str(resumed.work_dir / "iter_1.pth"))
    expect(("trained with kernel_size=(17, 17)", "(9, 9)"), sentence)


def test_a_rate_that_a_resumed_optimiser_does_not_take_up_is_said(resumed: Trial, capfd):
    resumed.merge({"optim_wrapper.optimizer.lr": 0.7})
    resumed.run("train", "--resume")
    assert "a resumed optimiser keeps its own" in capfd.readouterr().out


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


def test_a_test_takes_weights_in_safetensors(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    trial.run("test", in_safetensors(trial))
    assert trial.work_dir.exists()


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


@pytest.mark.parametrize("place", ["labels", "model"])
def test_files_that_others_write_meanwhile_stay_when_a_run_is_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trial = new_trial("seg", tmp_path)
    if place == "labels":
        paint(LABEL_MAP, 151)(trial)
    else:
        trial.merge({"model.backbone.kernel_count": 0})
    theirs = [trial.work_dir / name for name in ("iter_6.pth", "theirs/run.log")]

    def build(cfg: Config) -> Runner:
        for path in theirs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return build_runner(cfg)

    monkeypatch.setattr(launch, "build_runner", build)
    trial.refusal("train")
    assert sorted(path for path in trial.work_dir.rglob("*") if path.is_file()) == theirs


def test_folders_of_results_are_removed_when_a_test_is_refused(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    out, pictures = tmp_path / "results" / "out", tmp_path / "pictures"
    given = saved(STRANGER)(trial)
    trial.refusal("test", given, "--out", str(out), "--show-dir", str(pictures))
    assert not out.parent.exists() and not pictures.exists()


OCCUPIED = {
    "train": ["--work-dir"],
    "test": ["--work-dir", "--out", "--show-dir"],
}


@pytest.mark.parametrize("below", ["", "/x"])
@pytest.mark.parametrize(
    ("tool", "flag"), [(tool, flag) for tool, flags in OCCUPIED.items() for flag in flags]
)
def test_a_file_where_a_folder_is_to_be_is_named(tool: str, flag: str, below: str, tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    occupied = tmp_path / "a file"
    occupied.write_text("kept")
    checkpoint = [saved(weights)(trial)] if tool == "test" else []
    place = f"{occupied}{below}"
    if flag == "--work-dir":
        trial.work_dir = Path(place)
        sentence = trial.refusal(tool, *checkpoint)
    else:
        sentence = trial.refusal(tool, *checkpoint, flag, place)
    expect((place, f"{occupied} is a file", "another folder"), sentence)
    assert occupied.read_text() == "kept"


def test_a_run_that_fails_after_iterations_keeps_its_files(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    paint("annotations/validation/1.png", 151)(trial)
    expect(("validation/1.png", "label 151"), trial.refusal("train"))
    assert (trial.work_dir / "iter_1.pth").is_file()


@pytest.mark.slow
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


class OwnLoss(nn.Module):
    num_classes = 1

    def loss_by_feat(self) -> None: ...


def test_heads_with_classes_of_their_own_are_not_compared_with_the_labels():
    masks = nn.Module()
    masks.num_classes, masks.class_agnostic = 1, True
    model = nn.ModuleDict(dict(auxiliary_head=nn.ModuleList([OwnLoss()]), mask_head=masks))
    sample = BaseDataElement(
        gt_sem_seg=PixelData(data=torch.full((1, 2, 2), 7)),
        gt_instances=InstanceData(labels=torch.tensor([7])),
    )
    check_labels(model, dict(data_samples=[sample]))
    model["decode_head"] = OwnLoss()
    with pytest.raises(InputError, match="decode_head.num_classes=1"):
        check_labels(model, dict(data_samples=[sample]))
