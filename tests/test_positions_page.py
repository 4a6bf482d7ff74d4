"""docs/positions.md is true as it stands."""

import re

from mmengine.config import Config
from mmengine.registry import HOOKS, init_default_scope
from torch import nn

from helpers.catalogue import CONFIGS, build_without_memory, leaf_of, load
from mmdcls.dcls import Dcls2d, position_figures, position_owners, start_positions
from mmdcls.models.convolutions import built_without_values

PAGE = (CONFIGS.parent / "docs" / "positions.md").read_text()
PROGRAM, CONFIG = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_program_runs_and_freezes_positions_alone():
    names = {}
    exec(PROGRAM, names)
    frozen = {n for n, p in names["model"].named_parameters() if not p.requires_grad}
    assert frozen == {"0.positions"}
    assert isinstance(names["plain"][0], nn.Conv2d)


def test_the_config_outside_of_a_clone_builds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CONFIG)
    cfg = Config.fromfile("mine.py")
    init_default_scope(cfg.default_scope)
    assert position_owners(built_without_values(cfg).backbone)
    assert all(HOOKS.build(hook) for hook in cfg.custom_hooks)


def test_every_figure_is_in_the_table():
    layer = Dcls2d(2, 2, 9, kernel_count=3, interpolation="gaussian")
    figures = position_figures(layer, start_positions(layer))[""]
    rows = re.findall(r"^\| (`.*) \|.*\|$", PAGE.partition("## Figures")[2], re.MULTILINE)
    assert set(figures) == {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_the_cost_of_positions_in_a_resnet():
    def millions(share: str) -> str:
        cfg = load(leaf_of("mask_rcnn", "resnet50"))
        cfg.model.backbone.dcls.update(share=share)
        owners = position_owners(build_without_memory(cfg).backbone).values()
        return f"{sum(owner.positions.numel() for owner in owners) / 1e6:.1f} million"

    assert millions("layer") == "12.6 million" and millions("stage") == "3.5 million"
    assert "12.6 million" in PAGE and "3.5 million" in PAGE
