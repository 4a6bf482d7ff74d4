import pytest

from helpers.studied import write_config
from mmdcls.errors import InputError
from mmdcls.study.cells import Cell, key_of


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path / "noise.py")


def cell(config, overrides=None, **names):
    return Cell(
        **{**dict(table="t", data="noise", arm="a", seed=0), **names},
        config=config,
        overrides=overrides or {},
    )


def test_cells_that_are_one_training_have_one_key(config, tmp_path):
    key = key_of(cell(config))
    assert key == key_of(cell(config, table="other", data="again", arm="b"))
    assert key == key_of(cell(config, {"model.backbone.kernel_size": 9}))
    usual = dict(param_scheduler=dict(type="ParamSchedulerHook"), timer=None)
    assert key == key_of(cell(config, dict(work_dir="elsewhere", default_hooks=usual)))
    assert key == key_of(cell(write_config(tmp_path / "same.py", "unused = 1\n")))


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({"model.backbone.kernel_size": 11}, {}),
        ({"optim_wrapper.paramwise_cfg.position_lr_mult": 1.0}, {}),
        ({"train_cfg.max_iters": 3}, {}),
        ({"custom_hooks": [dict(type="mmdcls.Repulsion")]}, {}),
        ({"default_hooks": dict(param_scheduler=None)}, {}),
        ({}, dict(seed=1)),
    ],
)
def test_what_decides_the_figures_is_in_the_key(config, overrides, names):
    assert key_of(cell(config, overrides, **names)) != key_of(cell(config))


def test_a_change_that_has_no_place_in_the_config_is_told(config):
    with pytest.raises(InputError, match=r"t: noise, a, seed 0: .*noise\.py cannot be changed"):
        key_of(cell(config, {"model.backbone.kernel_size.wide": 11}))
