"""Every config: it reads back, says only how it differs, trains a step and predicts."""

import re
import shutil
from collections import Counter
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, VISUALIZERS
from mmengine.runner import Runner, set_random_seed
from mmengine.visualization import Visualizer
from torch import nn

from helpers import synthetic
from helpers.catalogue import CONFIGS, FILES, LEAVES, METHODS, build_without_memory, load
from mmdcls.dcls.groups import position_groups, stage_of
from mmdcls.registry import registered

BACKBONES = {"mmdcls.DclsConvNeXt", "mmdcls.Converted"}
every_leaf = pytest.mark.parametrize("leaf", LEAVES, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def same_augmentations() -> None:
    set_random_seed(0)


def build(cfg: Config) -> nn.Module:
    return revert_sync_batchnorm(MODELS.build(cfg.model))


@pytest.mark.parametrize(
    ("method", "leaves"),
    [
        ("upernet", 12),
        ("cascade_mask_rcnn", 6),
        ("mask_rcnn", 3),
        ("classification", 4),
        ("segnext", 1),
        ("mobilenet_v2", 1),
        ("mask2former", 2),
        ("dino", 1),
        ("rtmdet", 1),
    ],
)
def test_every_method_has_its_leaves(method, leaves):
    assert len([path for path in LEAVES if path.parent == CONFIGS / method]) == leaves


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.name)
def test_readme_and_metafile_name_every_leaf(method):
    leaves = {path.name for path in LEAVES if path.parent == method}
    listed = mmengine.load(method / "metafile.yml")
    (collection,) = listed["Collections"]
    assert (CONFIGS.parent / collection["README"]).samefile(method / "README.md")
    assert {model["In Collection"] for model in listed["Models"]} == {collection["Name"]}
    paths = [CONFIGS.parent / model["Config"] for model in listed["Models"]]
    assert [path.stem for path in paths] == [model["Name"] for model in listed["Models"]]
    assert {path.name for path in paths if path.is_file()} == leaves
    rows = [row for row in (method / "README.md").read_text().splitlines() if "[config]" in row]
    assert len(rows) == len(leaves)
    for model in listed["Models"]:
        (row,) = (row for row in rows if f"(./{model['Name']}.py)" in row)
        assert f"| {model['Metadata']['Parameters (M)']} M |" in row
        assert model.get("Weights", "") in row
        for result in model.get("Results", ()):
            assert all(f" {value} " in row for value in result["Metrics"].values())


def test_the_model_index_imports_every_metafile():
    index = mmengine.load(CONFIGS.parent / "model-index.yml")
    imported = sorted(CONFIGS.parent / path for path in index["Import"])
    assert imported == [method / "metafile.yml" for method in METHODS]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_stays_within_the_house(path):
    """mmpretrain is for classifiers only, `mmseg::` finds nothing with the onedl forks.

    Of URLs, only that of the weights it starts from is there.
    """
    text = path.read_text()
    start = Config.fromfile(path).get("checkpoint_file")
    text = text.replace(f'"{start}"', "")
    for foreign in ("mmpretrain.", "mmseg::", "mmdet::", "http"):
        assert foreign not in text
    if path in LEAVES:
        assert len(text.splitlines()) < 30


@every_leaf
def test_a_leaf_reads_back_from_its_dump(leaf, tmp_path):
    cfg = Config.fromfile(leaf)
    cfg.dump(tmp_path / "dumped.py")
    again = Config.fromfile(tmp_path / "dumped.py")
    assert again.to_dict() == cfg.to_dict()
    assert again.model.backbone.type in BACKBONES


@every_leaf
def test_pretrained_weights_are_given_in_one_line(leaf, tmp_path):
    init = 'dict(type="mmdcls.Pretrained", checkpoint="x.pth")'
    line = f"model = dict(backbone=dict(init_cfg={init}))"
    (tmp_path / "mine.py").write_text(f"_base_ = {str(leaf)!r}\n{line}\n")
    cfg = Config.fromfile(tmp_path / "mine.py")
    assert cfg.model.backbone.init_cfg.to_dict() == eval(init)


@every_leaf
def test_our_types_have_our_prefix_and_exist(leaf):
    cfg = load(leaf)
    ours = registered()
    # Names that mmengine has as well are right without our prefix.
    foreign = {name for name, registry in ours.items() if name in registry.parent.module_dict}
    types = [
        value
        for key, value in synthetic.leaves("", cfg.to_dict())
        if key.rpartition(".")[2] in ("type", "constructor")
    ]
    prefixed = {name.removeprefix("mmdcls.") for name in types if name.startswith("mmdcls.")}
    needed = {"DclsOptimWrapperConstructor", "ClampPositions"}
    assert needed <= prefixed and prefixed & {name.removeprefix("mmdcls.") for name in BACKBONES}
    assert prefixed <= set(ours)
    assert not (set(types) - foreign) & set(ours)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Data options of a leaf; leaves with the same data sets share the files."""
    written = {}

    def options(leaf: Path) -> dict:
        cfg = load(leaf)
        layout = str([cfg[f"{split}_dataloader"].dataset for split in synthetic.SPLITS])
        if layout not in written:
            written[layout] = synthetic.write_data(cfg, tmp_path_factory.mktemp("data"))
        return written[layout]

    return options


def small(leaf: Path, data_options: dict) -> Config:
    cfg = Config.fromfile(leaf)
    options = {**data_options, **synthetic.in_process(), **synthetic.thin_model(cfg)}
    if cfg.default_scope == "mmseg":
        options |= synthetic.quarter_size(cfg)
    elif cfg.default_scope == "mmdet":
        # mmcv's nms and roi_align know no bfloat16 on CPUs.
        options["optim_wrapper.type"] = "OptimWrapper"
    if cfg.model.type == "DINO":
        # It stays as wide as it is.
        options |= synthetic.quarter_size(cfg) | synthetic.small_scales(cfg)
    return load(leaf, options)


@pytest.mark.slow
@every_leaf
def test_a_leaf_trains_a_step_and_predicts(leaf, data):
    trains_a_step_and_predicts(small(leaf, data(leaf)))


def trains_a_step_and_predicts(cfg: Config) -> None:
    model = build(cfg)
    # A single step has no schedule, and a clipped one may be too short for float32.
    cfg.optim_wrapper.paramwise_cfg.pop("position_travel", None)
    cfg.optim_wrapper.clip_grad = None
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    # The gradients are to outlive the step.
    wrapper.zero_grad = lambda **_: None

    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader)))
    losses = model.train().train_step(batch, wrapper)

    assert all(torch.isfinite(loss).all() for loss in losses.values())
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for name, parameter in learning.items():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # Which parts of a detector's heads matter depends on the regions drawn.
        if name.startswith("backbone."):
            assert parameter.grad.abs().sum() > 0, name
            assert not torch.equal(parameter, before[name]), name
    grouped = [id(p) for group in wrapper.optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(map(id, learning.values()))

    batch = next(iter(Runner.build_dataloader(cfg.test_dataloader)))
    result = model.eval().test_step(batch)[0]
    if "pred_sem_seg" in result:
        assert result.pred_sem_seg.shape == result.gt_sem_seg.shape == synthetic.IMAGE_SIZE
    elif "pred_instances" in result:
        assert result.pred_instances.bboxes.shape[1:] == (4,)
        if dict(type="LoadAnnotations", with_bbox=True) not in cfg.test_pipeline:
            assert tuple(result.pred_instances.masks.shape[1:]) == synthetic.IMAGE_SIZE
    else:
        assert result.pred_score.shape == (cfg.model.head.num_classes,)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.name)
def test_the_config_for_own_data_in_the_readme_trains_and_predicts(method, tmp_path):
    texts = re.findall(r"```python\n(_base_ = .*?)```", (method / "README.md").read_text(), re.S)
    assert texts
    shutil.copytree(CONFIGS, tmp_path / "configs")
    leaf = tmp_path / "configs/mine/own.py"
    leaf.parent.mkdir()
    for number, text in enumerate(texts):
        assert len(text.splitlines()) <= 15
        leaf.write_text(text)
        cfg = load(leaf)
        counts = [
            value
            for key, value in synthetic.leaves("model", cfg.model)
            if key.endswith(("num_classes", "num_things_classes")) and "rpn_head" not in key
        ]
        assert set(counts) == {len(cfg.classes)}
        data = synthetic.write_data(cfg, tmp_path / f"data_{number}")
        trains_a_step_and_predicts(small(leaf, data))


@every_leaf
def test_the_visualizer_has_the_name_that_it_needs_outside_of_a_runner(leaf):
    """mmengine's Runner gives it one; browse_dataset.py of mmseg and mmdet does not."""
    cfg = load(leaf)
    assert isinstance(VISUALIZERS.build(cfg.visualizer), Visualizer)


@every_leaf
def test_positions_are_shared_by_the_stage(leaf):
    model = build_without_memory(load(leaf))
    groups = position_groups(model)
    # Of a stage there is one owner for all layers of the same shapes.
    kinds = Counter()
    for group in groups:
        shapes = {(layer.weight.shape[:2], layer.kernel_size) for layer in group.layers.values()}
        assert {stage_of(name) for name in group.layers} == {stage_of(group.name)}
        assert len(shapes) == 1, group.name
        kinds[stage_of(group.name), shapes.pop()] += 1
    assert set(kinds.values()) == {1}
    assert sum(len(group.layers) for group in groups) > len(groups)
