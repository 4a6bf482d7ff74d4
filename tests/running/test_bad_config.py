"""A config that cannot serve gets one clear sentence before anything is written."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from helpers.provocations import (
    BACKBONE,
    INSTANCES,
    ROOT,
    STRANGER,
    TRAIN,
    VAL,
    Case,
    cut,
    expect,
    load_tool,
    loaded,
    new_trial,
    pretrained,
    remove,
    saved,
    set_to,
    written,
)
from mmdcls.commands import test, train
from mmdcls.dcls import Dcls2d
from mmdcls.errors import InputError
from mmdcls.running.check_config import check_config

CONFIGS = [
    Case(
        "backbone without scope",
        set_to({f"{BACKBONE}.type": "DclsConvNeXt"}),
        ("model.backbone.type='DclsConvNeXt'", "write 'mmdcls.DclsConvNeXt'"),
    ),
    Case(
        "backbone without scope",
        set_to({f"{BACKBONE}.type": "DclsConvNeXt"}),
        ("model.backbone.type='DclsConvNeXt'", "write 'mmdcls.DclsConvNeXt'"),
        "det",
    ),
    Case(
        "hook without scope",
        set_to({"custom_hooks": [dict(type="ClampPositions")]}),
        ("custom_hooks.0.type='ClampPositions'", "write 'mmdcls.ClampPositions'"),
    ),
    Case(
        "optimiser rule without scope",
        set_to({"optim_wrapper.constructor": "DclsOptimWrapperConstructor"}),
        ("optim_wrapper.constructor=", "write 'mmdcls.DclsOptimWrapperConstructor'"),
    ),
    Case(
        "convolution without scope",
        set_to({"model.decode_head.conv_cfg": dict(type="Dcls2d", kernel_count=4)}),
        ("model.decode_head.conv_cfg.type='Dcls2d'", "write 'mmdcls.Dcls2d'"),
    ),
    Case(
        "unknown name of ours",
        set_to({f"{BACKBONE}.type": "mmdcls.ConvNeXt"}),
        ("'mmdcls.ConvNeXt' is unknown", "DclsConvNeXt"),
    ),
    Case("arch", set_to({BACKBONE: dict(arch="huge")}), ("arch='huge'", "tiny, small, base")),
    Case(
        "out_indices",
        set_to({f"{BACKBONE}.out_indices": (0, 4)}),
        ("out_indices=", "stages 0 to 3"),
    ),
    Case(
        "frozen_stages",
        set_to({f"{BACKBONE}.frozen_stages": 7}),
        ("frozen_stages=7", "-1 (none)", "up to 4"),
    ),
    Case(
        "interpolation",
        set_to({f"{BACKBONE}.interpolation": "cubic"}),
        ("interpolation='cubic'", "bilinear", "gaussian"),
    ),
    Case("kernel_count", set_to({f"{BACKBONE}.kernel_count": 0}), ("kernel_count=0", "at least 1")),
    Case(
        "no folder of data",
        set_to({f"{TRAIN}.data_root": "nowhere/ade"}),
        ("nowhere/ade", "no folder /", f"--cfg-options {TRAIN}.data_root=PATH"),
    ),
    Case(
        "no folder of validation data",
        set_to({f"{VAL}.data_root": "nowhere/ade"}),
        ("nowhere/ade", f"--cfg-options {VAL}.data_root=PATH"),
    ),
    Case(
        "no folder of images",
        set_to({f"{TRAIN}.data_prefix.img": "train2018/"}),
        ("train2018", f"--cfg-options {TRAIN}.data_prefix.img=PATH"),
        "det",
    ),
    Case(
        "no folder of label maps",
        set_to({f"{TRAIN}.data_prefix.seg_map_path": "labels"}),
        ("data/labels", "no folder"),
    ),
    Case("no annotation file", remove(INSTANCES), (INSTANCES, "no file", "ann_file=PATH"), "det"),
    Case(
        "no annotation file to evaluate by",
        set_to({"val_evaluator.ann_file": "nowhere.json"}),
        ("val_evaluator.ann_file='nowhere.json'", "no file"),
        "det",
    ),
    *(
        Case(f"annotations {name}", written(INSTANCES, text), (INSTANCES, *words, "again"), "det")
        for name, text, words in (
            ("of no bytes", "", ("is damaged", "char 0")),
            ("of which the end is missing", '{"images": [{"id": 1', ("is damaged", "char 20")),
            ("in a list", "[1]", ("COCO's layout",)),
        )
    ),
    Case(
        "annotations to evaluate by of which the end is missing",
        lambda trial: (
            written("half.json", "{")(trial),
            trial.merge({"val_evaluator.ann_file": str(trial.data / "half.json")}),
        ),
        ("half.json is damaged", "char 1"),
        "det",
    ),
    Case(
        "an option that a hook does not have",
        set_to({"custom_hooks": [dict(type="mmdcls.Repulsion", wieght=1.0)]}),
        ("mmdcls.Repulsion", "'wieght'", "its options are weight, begin"),
    ),
    Case(
        "an option that a hook needs",
        set_to({"custom_hooks": [dict(type="mmdcls.AnnealSigma", from_width=3.0, to_width=1.0)]}),
        ("mmdcls.AnnealSigma", "missing", "'end'"),
    ),
    Case(
        "an option that a data set does not have",
        set_to({f"{TRAIN}.reduce_zero_lable": False}),
        ("BaseSegDataset", "'reduce_zero_lable'", "its options are", "reduce_zero_label"),
    ),
    Case(
        "an option that a loop does not have",
        set_to({"train_cfg.max_iter": 5}),
        ("IterBasedTrainLoop", "'max_iter'", "its options are", "max_iters"),
    ),
    Case(
        "a head for another backbone",
        set_to({"model.decode_head.in_channels": [256, 512, 1024, 2048]}),
        (
            "model.decode_head is made for in_channels=[256, 512, 1024, 2048]",
            "give it in_channels=",
        ),
    ),
    Case(
        "a head for one map of another backbone",
        set_to({"model.auxiliary_head.in_channels": 1024}),
        ("model.auxiliary_head is made for in_channels=1024", "give it in_channels="),
    ),
    Case(
        "a head for a map that is not there",
        set_to({"model.auxiliary_head.in_index": 4}),
        ("model.auxiliary_head.in_index=4 names a map", "out_indices=(0, 1, 2, 3)"),
    ),
    Case(
        "a neck for another backbone",
        set_to({"model.neck.in_channels": [256, 512, 1024, 2048]}),
        ("model.neck is made for in_channels=[256, 512, 1024, 2048]", "give it in_channels="),
        "det",
    ),
    Case("a number for a checkpoint", set_to({"load_from": 3}), ("load_from=3", "as text")),
    Case(
        "no checkpoint",
        set_to({"load_from": "nowhere.pth"}),
        ("load_from='nowhere.pth'", "no file", "name another"),
    ),
    Case("no name of a checkpoint", set_to({"load_from": ""}), ("load_from=''", "no file")),
    Case(
        "a list for a checkpoint", loaded("load_from", saved([1, 2])), ("given.pth", "no weights")
    ),
    Case(
        "a module for a checkpoint",
        loaded("load_from", saved(lambda trial: nn.Linear(2, 2))),
        ("given.pth", "more than weights"),
    ),
    Case(
        "no pretrained backbone",
        pretrained(lambda trial: "nowhere.pth"),
        ("model.backbone.init_cfg.checkpoint='nowhere.pth'", "no file"),
    ),
    Case(
        "half a checkpoint",
        lambda trial: (
            saved(STRANGER)(trial),
            cut("../given.pth", 300)(trial),
            trial.merge({"load_from": str(trial.folder / "given.pth")}),
        ),
        ("given.pth", "only a part", "again"),
    ),
]


@pytest.mark.parametrize("case", CONFIGS, ids=str)
def test_a_config_is_refused_with_a_sentence_and_no_files(case: Case, tmp_path: Path):
    trial = new_trial(case.task, tmp_path)
    case.provoke(trial)
    expect(case.words, trial.refusal("train"))
    assert not trial.work_dir.exists()


# What is written in place of a config of ours, or given by --cfg-options.
INHERITS = "_base_ = 'base.py'"
LINES = {
    "_base_ = 'nowhere.py'": ("mine.py is not a config", "nowhere.py"),
    "model = dict(": ("mine.py is not a config", "was never closed"),
    "x = y": ("mine.py is not a config", "line 1", "NameError", "'y'"),
    f"{INHERITS}; load_from = dict(a=1)": ("mine.py is not a config", "TypeError", "load_from"),
}
OPTIONS = {
    "load_from.a=1": ("load_from.a: load_from is None", "has no a", "load_from._delete_=True"),
    "custom_hooks.a=1": ("custom_hooks is a list of", "custom_hooks.0"),
    "optim_wraper.optimizer.lr=1": ("the config has no optim_wraper, but optim_wrapper",),
    "custom_hooks.99.a=1": ("custom_hooks is a list of", "custom_hooks.0"),
}


@pytest.mark.parametrize("line", LINES)
def test_a_config_that_cannot_be_read_is_refused_with_a_sentence(line: str, tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    trial.cfg.dump(tmp_path / "base.py")
    (tmp_path / "mine.py").write_text(line)
    expect(LINES[line], refusal_of("train", tmp_path / "mine.py"))


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("tool", ["train", "test"])
def test_an_option_without_a_place_is_refused_with_a_sentence(tool, option, tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    trial.cfg.custom_hooks = [dict(type="mmdcls.ClampPositions")]
    trial.cfg.dump(tmp_path / "mine.py")
    more = ["checkpoint.pth"] if tool == "test" else []
    expect(OPTIONS[option], refusal_of(tool, tmp_path / "mine.py", *more, "--cfg-options", option))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("train_cfg", "train_cfg: write KEY=VALUE"),
        ("a=dict(type='GN',num_groups=4)", "every key of a dict by itself"),
        ("a=[(1,2)", "cannot be read"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused_as_the_command_line_is(option, words, capsys):
    assert refusal_of("train", "mine.py", "--cfg-options", option) == "2"
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("tool", ["train", "test"])
def test_a_config_that_is_not_there_is_named(tool: str):
    more = ["checkpoint.pth"] if tool == "test" else []
    expect(("no config nowhere.py",), refusal_of(tool, "nowhere.py", *more))


def refusal_of(tool: str, *arguments: object) -> str:
    with pytest.raises(SystemExit) as refused:
        load_tool(tool).main([str(argument) for argument in arguments])
    return str(refused.value)


LEAF_CONFIGS = sorted(p for p in (ROOT / "configs").glob("*/*.py") if p.parent.name != "_base_")


def test_mixed_precision_that_needs_a_gpu_is_refused_without_one(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    cfg = Config(dict(optim_wrapper=dict(type="AmpOptimWrapper"), default_scope="mmseg"))
    with pytest.raises(InputError, match="OptimWrapper, or .*mmdcls.AmpOptimWrapper for bfloat16"):
        check_config(cfg)
    cfg.default_scope = "mmdet"
    with pytest.raises(InputError, match="GPUs only.*type=OptimWrapper.$"):
        check_config(cfg)
    check_config(cfg, ("test",))


def test_no_name_in_our_configs_is_refused():
    assert LEAF_CONFIGS
    for path in LEAF_CONFIGS:
        check_config(Config.fromfile(path), splits=())


TYPES = """
from mmengine.optim import OptimWrapper
from mmseg.evaluation import IoUMetric
from mmdcls.running.mixed_precision import amp_optim_wrapper
from mmdcls.models import {name}
from mmdcls.models.convs import dcls2d
model = dict(type={name}, arch="tiny", conv_cfg=dict(type=dcls2d))
optim_wrapper = dict(type={wrapper})
test_evaluator = dict(type=IoUMetric)
"""


@pytest.mark.parametrize("wrapper", ["OptimWrapper", "amp_optim_wrapper"])
def test_classes_may_stand_for_names(wrapper: str, tmp_path: Path):
    file = tmp_path / "config.py"
    file.write_text(TYPES.format(name="DclsConvNeXt", wrapper=wrapper))
    cfg = Config.fromfile(file)
    check_config(cfg, splits=())
    train.apply_flags(cfg, train.parse_arguments(["config", "--amp"]))
    assert cfg.optim_wrapper.type == "mmdcls.AmpOptimWrapper"
    test.apply_flags(cfg, test.parse_arguments(["config", "checkpoint", "--out", "labels"]))
    assert cfg.custom_hooks[-1].output_dir == "labels"


def test_classes_that_are_not_there_are_refused(tmp_path: Path):
    file = tmp_path / "config.py"
    file.write_text(TYPES.format(name="ConvNeXt", wrapper="OptimWrapper"))
    with pytest.raises(InputError, match=r"mmdcls.models.ConvNeXt' is unknown.*DclsConvNeXt"):
        check_config(Config.fromfile(file), splits=())


def test_label_maps_that_are_not_loaded_need_not_be_there(tmp_path: Path):
    trial = new_trial("seg", tmp_path)
    dataset = trial.cfg.test_dataloader.dataset
    dataset.data_prefix.seg_map_path = "nowhere"
    with pytest.raises(InputError):
        check_config(trial.cfg, splits=["test"])
    dataset.pipeline = [step for step in dataset.pipeline if step["type"] != "LoadAnnotations"]
    check_config(trial.cfg, splits=["test"])


LAYERS = [
    (dict(interpolation="cubic"), ("interpolation='cubic'", "bilinear", "gaussian")),
    (dict(kernel_count=0), ("kernel_count=0", "at least 1")),
    (dict(dilation=2), ("dilation=(2, 2)", "must be 1")),
    (dict(groups=3), ("groups=3", "4")),
]


@pytest.mark.parametrize(("arguments", "words"), LAYERS)
def test_a_layer_is_refused_with_a_sentence(arguments: dict, words: tuple[str, ...]):
    with pytest.raises(ValueError) as refused:
        Dcls2d(**dict(in_channels=4, out_channels=4, kernel_size=5, kernel_count=3) | arguments)
    expect(words, str(refused.value))
