"""What the README shows runs as it stands."""

import re

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, MODELS, init_default_scope

from helpers import synthetic
from helpers.catalogue import CONFIGS

README = (CONFIGS.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
OWN_DATA = [block for block in BLOCKS if block.startswith("_base_")]
# Hooks, as custom_hooks has them.
PIECES = re.findall(r"dict\(type=\"mmdcls\.[^()]*\)(?=,|  #)", README)
FRAGMENTS = [block for block in BLOCKS if block.startswith("model")]


def test_there_are_examples_of_each_kind():
    assert len(OWN_DATA) == 2 and len(FRAGMENTS) == 3 and len(BLOCKS) == 9 and len(PIECES) == 8


def test_the_layer_example_runs():
    (example,) = (block for block in BLOCKS if "import" in block)
    exec(example, {})


def test_the_example_of_an_own_network_runs():
    page = (CONFIGS.parent / "docs/your_own_network.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example, {})


@pytest.mark.parametrize("block", OWN_DATA, ids=lambda block: block.split("/")[1])
def test_a_config_for_own_data_builds_model_and_data(tmp_path, block):
    assert len(block.splitlines()) <= 15
    data = tmp_path / "data"
    path = tmp_path / "mine.py"
    path.write_text(block.replace("configs/", f"{CONFIGS}/").replace("data/mine", str(data)))
    cfg = Config.fromfile(path)
    cfg.merge_from_dict({**synthetic.write_data(cfg, data), **synthetic.thin_model(cfg)})
    init_default_scope(cfg.default_scope)
    for split in synthetic.SPLITS:
        dataset = DATASETS.build(cfg[f"{split}_dataloader"].dataset)
        assert len(dataset) == synthetic.IMAGES
        assert dataset[0]["data_samples"].img_path
        assert dataset.metainfo["classes"] == cfg.mine.metainfo.classes
    model = MODELS.build(cfg.model)
    counts = {m.num_classes for m in model.modules() if getattr(m, "num_classes", 1) > 1}
    assert counts == {len(cfg.mine.metainfo.classes)}


@pytest.mark.parametrize("block", FRAGMENTS, ids=["backbone", "converted", "conv_cfg"])
def test_a_fragment_fits_a_config_of_anybody(tmp_path, block):
    base = dict(model=dict(type="mmdet.RetinaNet", backbone=dict(type="mmdet.ResNet", depth=18)))
    if "DclsConvNeXt" in block:
        base["model"]["backbone"] = {}
    Config(base).dump(tmp_path / "base.py")
    (tmp_path / "mine.py").write_text(f'_base_ = "base.py"\n{block}')
    backbone = MODELS.build(Config.fromfile(tmp_path / "mine.py").model.backbone)
    assert any(name.endswith("positions") for name, _ in backbone.named_parameters())


@pytest.mark.parametrize("piece", PIECES)
def test_every_hook_takes_what_is_written(piece):
    HOOKS.build(eval(piece, dict(dict=dict)))
