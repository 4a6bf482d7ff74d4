"""Fine-tuned files of mmseg 0.x and mmdet 2.x fill our models, heads included, and come back."""

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint
from torch import nn

from helpers import synthetic
from helpers.catalogue import leaf_of, load
from helpers.provocations import expect, load_tool, new_trial, short_runs
from helpers.published_convnext import saved
from mmdcls import commands
from mmdcls.errors import InputError
from mmdcls.running.hooks import CheckInputs

convert = load_tool("convert_checkpoint").main

METHODS = {
    "upernet": "tiny_",
    "cascade_mask_rcnn": "-t_fpn",
    "mask_rcnn": "-t_fpn",
}
BOTH = (".weight", ".bias")
NORM = (".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var", ".bn.num_batches_tracked")
CONV = (".conv.weight", ".conv.bias")
CONV_NORM = (".conv.weight", *NORM)


def each(*parts: tuple[str, ...] | str) -> list[str]:
    return ["".join(one) for one in product(*((p,) if isinstance(p, str) else p for p in parts))]


FPN = each("neck.", ("lateral_convs.", "fpn_convs."), tuple("0123"), CONV)
RPN = each("rpn_head.rpn_", ("conv", "cls", "reg"), BOTH)
PREDICTORS = (".fc_cls", ".fc_reg")
MASKS = (*each(".convs.", tuple("0123"), ".conv"), ".upsample", ".conv_logits")
STAGES = tuple("012")
# What heads and necks are called in mmseg 0.30 and mmdet 2.28, read in their source.
OLD_NAMES = {
    "upernet": [
        *each(("decode_head", "auxiliary_head"), ".conv_seg", BOTH),
        *each("decode_head.psp_modules.", tuple("0123"), ".1", CONV_NORM),
        *each("decode_head.", ("lateral_convs.", "fpn_convs."), STAGES, CONV_NORM),
        *each("decode_head.", ("bottleneck", "fpn_bottleneck"), CONV_NORM),
        *each("auxiliary_head.convs.0", CONV_NORM),
    ],
    "cascade_mask_rcnn": [
        *FPN,
        *RPN,
        *each("roi_head.bbox_head.", STAGES, (*PREDICTORS, ".shared_fcs.0"), BOTH),
        *each("roi_head.bbox_head.", STAGES, ".shared_convs.", tuple("0123"), CONV_NORM),
        *each("roi_head.mask_head.", STAGES, MASKS, BOTH),
    ],
    "mask_rcnn": [
        *FPN,
        *RPN,
        *each("roi_head.bbox_head", (*PREDICTORS, ".shared_fcs.0", ".shared_fcs.1"), BOTH),
        *each("roi_head.mask_head", MASKS, BOTH),
    ],
}


@pytest.fixture(scope="module", params=METHODS)
def method(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def config(method, tmp_path_factory) -> Path:
    cfg = Config.fromfile(leaf_of(method, METHODS[method]))
    cfg.merge_from_dict(synthetic.thin_model(cfg))
    path = tmp_path_factory.mktemp(method) / "thin.py"
    with short_runs():
        cfg.dump(path)
    return path


def random_model(config: Path) -> nn.Module:
    model = MODELS.build(load(config).model)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("positions"):
                value.uniform_(-8, 8)
            elif value.is_floating_point():
                value.normal_()
    return model


@pytest.fixture(scope="module")
def model(config) -> nn.Module:
    return random_model(config)


def as_published(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The state with a block's own copy of the bilinear positions, as theirs is stored."""
    state = model.state_dict()
    for name, value in state.items():
        if not name.endswith(".positions"):
            yield name, value
        for block in range(9):
            conv = name.replace(".positions", f".{block}.dwconv")
            if conv != name and f"{conv}.weight" in state:
                yield f"{conv}.P", value.clone()


@pytest.fixture(scope="module")
def old_file(method, model, tmp_path_factory) -> str:
    meta = dict(CLASSES=("cell", "nucleus"), PALETTE=[[0, 0, 0], [9, 9, 9]], mmdet_version="2.20.0")
    content = dict(meta=meta, state_dict=dict(as_published(model)))
    return saved(content, tmp_path_factory.mktemp(f"old_{method}"))


def assert_same_state(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def read(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def test_heads_have_the_names_of_the_old_releases(method, model):
    heads = [name for name in model.state_dict() if not name.startswith("backbone.")]
    assert sorted(heads) == sorted(OLD_NAMES[method])


def test_an_old_file_is_converted_whole_for_plain_mmengine(config, model, old_file, tmp_path):
    target = tmp_path / "new" / "ours.pth"
    assert commands.main(["convert", old_file, str(target), "--config", str(config)]) == 0
    fresh = MODELS.build(load(config).model)
    load_checkpoint(fresh, str(target), strict=True)
    assert_same_state(model.state_dict(), fresh.state_dict())
    assert read(target)["meta"]["dataset_meta"]["classes"] == ("cell", "nucleus")


def test_options_of_the_config_decide_what_a_file_fits(config, model, old_file, tmp_path):
    other, target = tmp_path / "other.py", tmp_path / "ours.pth"
    other.write_text(f"_base_ = [{str(config)!r}]\nmodel = dict(backbone=dict(kernel_count=3))\n")
    arguments = [old_file, str(target), "--config", str(other)]
    with pytest.raises(SystemExit, match="does not fit the model"):
        convert(arguments)
    count = model.backbone.stages[0].positions.shape[-1]
    convert([*arguments, "--cfg-options", f"model.backbone.kernel_count={count}"])
    assert target.is_file()


def test_the_reverse_of_convert_is_its_inverse(config, model, old_file, tmp_path):
    ours, theirs = tmp_path / "ours.pth", tmp_path / "theirs.pth"
    options = ["--config", str(config)]
    convert([old_file, str(ours), *options])
    convert([str(ours), str(theirs), *options, "--to", "published"])
    assert_same_state(read(theirs)["state_dict"], read(Path(old_file))["state_dict"])
    convert([str(theirs), str(ours), *options])
    assert_same_state(read(ours)["state_dict"], dict(model.state_dict()))


def test_the_old_readers_find_the_classes_of_what_was_turned_back(config, model, tmp_path):
    """Those of the config's test data, as mmseg 0.x and mmdet 2.x call them."""
    ours, theirs = saved(dict(state_dict=model.state_dict()), tmp_path, "ours.pth"), "theirs.pth"
    convert([ours, str(tmp_path / theirs), "--config", str(config), "--to", "published"])
    cfg = load(config)
    classes = synthetic.classes_of(cfg.default_scope, cfg.test_dataloader.dataset)
    meta = read(tmp_path / theirs)["meta"]
    assert tuple(meta["CLASSES"]) == tuple(classes)
    assert [len(colour) for colour in meta["PALETTE"]] == [3] * len(classes)


def test_an_old_file_is_taken_as_it_is_by_load_from(config, model, old_file):
    fresh = MODELS.build(load(config).model)
    checkpoint = read(Path(old_file))
    runner = SimpleNamespace(
        model=fresh,
        cfg=Config(),
        logger=MMLogger.get_current_instance(),
        _load_from=old_file,
    )
    checks = CheckInputs()
    checks.after_load_checkpoint(runner, checkpoint)
    checks.before_test(runner)
    assert_same_state(model.state_dict(), checkpoint["state_dict"])


def test_plain_mmengine_refuses_an_old_file_and_leaves_nothing_random(config, old_file):
    """It would report some unexpected names in its log, and go on."""
    fresh = MODELS.build(load(config).model)
    with pytest.raises(InputError, match="of a published DCLS ConvNeXt: .*mmdcls convert"):
        load_checkpoint(fresh, old_file, map_location="cpu", strict=False)


@pytest.mark.parametrize("task", ["seg", "det"])
def test_an_old_file_is_tested_from_the_command_line(task, tmp_path):
    trial = new_trial(task, tmp_path)
    trial.cfg.dump(tmp_path / "thin.py")
    file = saved(dict(state_dict=dict(as_published(random_model(tmp_path / "thin.py")))), tmp_path)
    trial.run("test", file)


def test_a_classifier_fills_the_backbone_and_leaves_the_heads(config, model, tmp_path):
    backbone = dict(as_published(model.backbone))
    backbone = {name: value for name, value in backbone.items() if not name.startswith("norm")}
    others = {"norm.weight": torch.ones(9), "head.weight": torch.ones(9, 9)}
    source, target = saved(dict(model={**backbone, **others}), tmp_path), tmp_path / "ours.pth"
    convert([source, str(target), "--config", str(config)])
    written = read(target)["state_dict"]
    expected = {
        name: value
        for name, value in model.state_dict().items()
        if name.startswith("backbone.") and not name.startswith("backbone.norm")
    }
    assert_same_state(expected, written)
    fresh = MODELS.build(load(config).model.backbone)
    fresh.init_cfg = dict(type="Pretrained", checkpoint=str(target), prefix="backbone.")
    fresh.init_weights()
    assert torch.equal(fresh.stages[2].positions, model.backbone.stages[2].positions)


def test_a_head_that_does_not_fit_is_named_and_nothing_is_written(config, old_file, tmp_path):
    content = read(Path(old_file))
    state = content["state_dict"]
    (name,) = [name for name in state if name.endswith(("head.conv_seg.bias", "rpn_cls.bias"))][:1]
    state[name] = state[name][:-1]
    target = tmp_path / "ours.pth"
    with pytest.raises(SystemExit) as refused:
        convert([saved(content, tmp_path), str(target), "--config", str(config)])
    expect((name, "there and", "in the model", "init_cfg"), str(refused.value))
    assert not target.exists()
    del state[name]
    with pytest.raises(SystemExit, match=f"{name} is not there"):
        convert([saved(content, tmp_path), str(target), "--config", str(config)])


def test_only_our_own_files_are_turned_back(config, old_file, tmp_path):
    with pytest.raises(SystemExit, match="published DCLS ConvNeXt: only our own"):
        convert([old_file, str(tmp_path / "x.pth"), "--config", str(config), "--to", "published"])


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("ours.safetensors", "give it the suffix .pth"),
        (".", "is no file"),
        ("given.pth", "is the source itself"),
        ("given.pth/below.pth", "cannot be used"),
    ],
)
def test_a_target_that_cannot_be_written_is_named(target, words, config, old_file, tmp_path):
    source = tmp_path / "given.pth"
    shutil.copy(old_file, source)
    before = source.read_bytes()
    with pytest.raises(SystemExit, match=words):
        convert([str(source), str(tmp_path / target), "--config", str(config)])
    assert source.read_bytes() == before


def test_a_file_of_another_task_is_refused(config, old_file, tmp_path, method):
    task = "upernet" if method != "upernet" else "mask_rcnn"
    other = leaf_of(task, METHODS[task])
    Config.fromfile(other).dump(tmp_path / "other.py")
    with pytest.raises(SystemExit, match="does not fit|another kind of model"):
        convert([old_file, str(tmp_path / "x.pth"), "--config", str(other)])


def test_a_source_and_a_config_that_are_not_there_are_named(config, old_file, tmp_path):
    for source, cfg in (("absent.pth", str(config)), (old_file, "absent.py")):
        with pytest.raises(SystemExit, match=r"absent\.p"):
            convert([source, str(tmp_path / "x.pth"), "--config", cfg])


def test_training_starts_from_a_dense_model_with_its_heads(config, model):
    """What mmseg and mmdet call mmpretrain's ConvNeXt, under our names for everything else."""
    dense = {}
    for name, value in model.state_dict().items():
        if name.endswith("dwconv.weight"):
            value = torch.randn(len(value), 1, 7, 7)
        if not name.endswith("positions"):
            renamed = name.replace("dwconv", "depthwise_conv").replace("pwconv", "pointwise_conv")
            dense[renamed] = value
    runner = SimpleNamespace(
        model=MODELS.build(load(config).model),
        cfg=Config(),
        logger=MMLogger.get_current_instance(),
        _load_from="dense.pth",
    )
    checkpoint = dict(state_dict=dense)
    CheckInputs().after_load_checkpoint(runner, checkpoint)
    runner.model.load_state_dict(checkpoint["state_dict"])
    positions = runner.model.backbone.stages[0].positions
    assert torch.equal(positions, positions.round()) and positions.abs().max() == 3
    dense.pop(next(iter(dense)))
    with pytest.raises(InputError, match="is not there"):
        CheckInputs().after_load_checkpoint(runner, dict(state_dict=dense))
