"""Configs that come with mmdcls are found by name, from anywhere."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from helpers.catalogue import CONFIGS, LEAVES, METHODS, leaf_of
from mmdcls import config_path
from mmdcls.config import config_at
from mmdcls.errors import InputError
from mmdcls.shipped import leaves

BASE = "_base_ = __import__('mmdcls').config_path({name!r})\n"
FIRST = [next(path for path in LEAVES if path.parent == method) for method in METHODS]


def test_every_config_of_a_model_is_known_and_no_part_of_one():
    assert leaves() == LEAVES


def names(path: Path) -> list[str]:
    inside = path.relative_to(CONFIGS)
    return [path.stem, str(inside), str(inside.with_suffix(""))]


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_a_config_has_its_name_with_and_without_its_folder(path):
    assert {config_path(name) for name in names(path)} == {str(path)}


def test_parts_are_found_by_their_path():
    assert config_path("_base_/runtime.py") == str(CONFIGS / "_base_/runtime.py")


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.parent.name)
def test_a_config_inherits_from_anywhere(path, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(BASE.format(name=path.stem) + "randomness = dict(seed=_base_.default_scope)\n")
    inherited, original = Config.fromfile(mine).to_dict(), Config.fromfile(path).to_dict()
    assert inherited.pop("randomness") == dict(seed=original["default_scope"])
    assert inherited == original


def test_several_bases_and_options_do_as_well(tmp_path):
    leaf, strategy = leaf_of("upernet", "tiny_"), "_base_/strategies/fsdp.py"
    parts = ", ".join(f"__import__('mmdcls').config_path({n!r})" for n in (leaf.stem, strategy))
    mine = tmp_path / "mine.py"
    mine.write_text(f"_base_ = [{parts}]\nmodel = dict(backbone=dict(kernel_size=23))\n")
    options = {"model.backbone.kernel_count": 26, "model.decode_head.num_classes": 3}
    cfg = config_at(str(mine), options)
    backbone = cfg.model.backbone
    assert (backbone.kernel_size, backbone.kernel_count) == (23, 26)
    assert cfg.model.decode_head.num_classes == 3
    assert cfg.strategy.type == Config.fromfile(CONFIGS / strategy).strategy.type
    assert config_at(leaf.stem, options).model.backbone.kernel_count == 26


def test_the_config_of_the_page_inherits(tmp_path):
    page = (CONFIGS.parent / "docs/wheel.md").read_text()
    (block,) = re.findall(r"```python\n(_base_.*?)```", page, re.DOTALL)
    (tmp_path / "mine.py").write_text(block)
    backbone = config_at(str(tmp_path / "mine.py")).model.backbone
    assert (backbone.arch, backbone.kernel_size) == ("tiny", 23)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("dcls-convnxt-tiny", "; the nearest is dcls-convnext-tiny_32xb128_in1k"),
        ("upernet/nothing.py", ""),
        ("../mmdcls/config.py", ""),
    ],
)
def test_a_config_that_is_not_there_is_named_with_the_nearest(name, nearest):
    with pytest.raises(InputError, match=f"no config {name}, .* mmdcls{nearest}. `mmdcls list`"):
        config_path(name)


def test_the_scheme_of_openmmlab_is_refused_with_what_to_write(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text('_base_ = "mmdcls::upernet/some.py"')
    with pytest.raises(InputError, match=r'write _base_ = __import__\("mmdcls"\)\.config_path'):
        config_at(str(mine))
