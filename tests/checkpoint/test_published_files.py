"""Files of the published code give our backbone the feature maps of the published layers."""

from argparse import Namespace

import pytest
import torch

from helpers.published_convnext import SMALL, VERSIONS, assert_same_maps, ours, published, saved
from mmdcls.checkpoint import published as reader
from mmdcls.checkpoint.conversion import in_published_layout
from mmdcls.errors import InputError
from mmdcls.models.arguments import ARCHS

each_interpolation = pytest.mark.parametrize("interpolation", VERSIONS)
# The released sizes; of the Gaussian, which the published code takes seconds to build, one block of
# each stage.
RELEASED = {
    "bilinear": dict(arch=ARCHS["tiny"], kernel_size=17, kernel_count=34),
    "gaussian": dict(
        arch=dict(ARCHS["tiny"], depths=(1, 1, 1, 1)), kernel_size=23, kernel_count=26
    ),
}


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@each_interpolation
def test_maps_of_all_stages_are_those_of_the_published_layers(interpolation, shared, tmp_path):
    theirs = published(interpolation, shared)
    file = saved(dict(model=theirs.state_dict()), tmp_path)
    mine = ours(file, interpolation=interpolation, share_positions=shared)
    assert_same_maps(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", RELEASED)
def test_maps_of_the_released_sizes_are_those_of_the_published_layers(interpolation, tmp_path):
    options = dict(interpolation=interpolation, **RELEASED[interpolation])
    theirs = published(**options)
    file = saved(dict(model=theirs.state_dict()), tmp_path)
    assert_same_maps(ours(file, **options), theirs)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@each_interpolation
def test_our_backbone_goes_back_into_the_published_layers(interpolation, shared):
    mine = ours(interpolation=interpolation, share_positions=shared, layer_scale_init_value=1.0)
    theirs = published(interpolation, shared, dense_norms=True)
    content = in_published_layout(dict(state_dict=mine.state_dict()), mine, "ours.pth")
    theirs.load_state_dict(content["model"])
    assert_same_maps(mine, theirs)


def test_response_normalisation_does_not_go_into_the_published_layout():
    mine = ours(use_grn=True)
    with pytest.raises(InputError, match=r"ours\.pth has response normalisation"):
        in_published_layout(dict(state_dict=mine.state_dict()), mine, "ours.pth")


def test_shared_positions_also_fill_a_backbone_whose_blocks_have_their_own(tmp_path):
    theirs = published("gaussian")
    file = saved(dict(model=theirs.state_dict()), tmp_path)
    assert_same_maps(ours(file, interpolation="gaussian", share_positions=False), theirs)


@each_interpolation
def test_different_positions_of_a_stage_are_refused_where_the_model_shares_them(
    interpolation, tmp_path
):
    file = saved(dict(model=published(interpolation, shared=False).state_dict()), tmp_path)
    with pytest.raises(InputError, match=r"stages\.2\.1\.dwconv|stages\.0\.1\.dwconv") as refused:
        ours(file, interpolation=interpolation)
    assert "share_positions=False" in str(refused.value)


@each_interpolation
def test_positions_outside_the_kernel_are_put_on_its_border(interpolation, tmp_path):
    theirs = published(interpolation)
    with torch.no_grad():
        for stage in theirs.stages:
            stage[0].dwconv.P += torch.randn_like(stage[0].dwconv.P) * 4
    file = saved(dict(model=theirs.state_dict()), tmp_path)
    mine = ours(file, interpolation=interpolation)
    for stage in theirs.stages:
        # What their trainer does after a step.
        stage[0].dwconv.clamp_parameters()
    assert mine.stages[0].positions.abs().max() == 3
    assert_same_maps(mine, theirs)


def test_every_published_version_is_compared():
    assert {theirs: name for name, theirs in VERSIONS.items()} == reader.VERSIONS


@pytest.mark.parametrize("inside", [True, False], ids=["ConvNeXt", "widths"])
def test_widths_and_interpolation_must_agree(inside, tmp_path):
    trained, built = ("gaussian", "bilinear") if inside else ("bilinear", "gaussian")
    file = saved(dict(model=published(trained).state_dict()), tmp_path)
    with pytest.raises(InputError, match=rf"interpolation='{built}'.*'(triangle|bilinear)'"):
        ours(file, interpolation=built)


def test_an_interpolation_that_is_named_must_be_the_models(tmp_path):
    file = saved(dict(model=published("bilinear_normalized").state_dict()), tmp_path)
    init = dict(interpolation="bilinear_normalized")
    with pytest.raises(InputError, match="'bilinear_normalized', and the model has 'bilinear'"):
        ours(file, init)
    ours(file, init, interpolation="bilinear_normalized")


def turned(state: dict) -> dict:
    return {k: v.flip(0) if k.endswith(".P") else v for k, v in state.items()}


def test_the_axis_order_can_be_given(tmp_path):
    theirs = published("bilinear")
    file = saved(dict(model=turned(theirs.state_dict())), tmp_path)
    assert_same_maps(ours(file, dict(axis_order="width_first")), theirs)
    with pytest.raises(InputError, match="'rows_first'.*height_first, width_first"):
        ours(file, dict(axis_order="rows_first"))


def test_files_with_grids_are_of_the_releases_that_stored_width_first(tmp_path):
    theirs = published("bilinear")
    state = turned(theirs.state_dict())
    for name in [name for name in state if name.endswith(".P")]:
        for grid in ("I", "J", "lim"):
            state[name.replace(".P", f".DCK.{grid}")] = torch.arange(7.0)
    assert_same_maps(ours(saved(dict(model=state), tmp_path)), theirs)


def test_a_file_with_its_trainers_arguments_loads_the_average(tmp_path, said):
    theirs, raw = published("bilinear"), published("bilinear")
    content = dict(model=raw.state_dict(), model_ema=theirs.state_dict(), args=Namespace(lr=0.1))
    file = saved(content, tmp_path)
    assert_same_maps(ours(file), theirs)
    assert_same_maps(ours(file, dict(key="model")), raw)
    assert [line.partition(")")[0].rpartition(", ")[2] for line in said] == ["model_ema", "model"]


def test_one_line_says_what_was_loaded_left_and_unused(tmp_path, said):
    state = published("bilinear").state_dict()
    backbone = ours(saved(dict(model=state), tmp_path))
    (line,) = said
    assert "\n" not in line
    filled = [name for name in backbone.state_dict() if not name.startswith("norm")]
    assert f"loaded {len(filled)} tensors" in line
    assert "left at initialisation: norm0, norm1, norm2, norm3;" in line
    assert "unused: norm, head" in line


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "model.", "module.module."])
def test_wrappers_of_a_whole_model_are_taken_off(wrapper, tmp_path):
    theirs = published("bilinear")
    state = {f"{wrapper}{name}": value for name, value in theirs.state_dict().items()}
    assert_same_maps(ours(saved(dict(model=state), tmp_path)), theirs)


def test_elements_outside_the_kernel_are_counted(tmp_path, said):
    state = published("bilinear").state_dict()
    inside = saved(dict(model=state), tmp_path)
    ours(inside)
    assert "outside the kernel" not in said[-1]
    for name in state:
        if name.startswith("stages.0.") and name.endswith(".P"):
            state[name][0, 0, 0, 0] = 50.0
    ours(saved(dict(model=state), tmp_path))
    assert "elements outside the kernel, by up to 47 cells, are put on its border" in said[-1]


def without(name: str):
    return lambda state: state.pop(name)


def resized(name: str):
    return lambda state: state.update({name: torch.zeros(3, 3)})


def added(name: str):
    return lambda state: state.update({name: torch.zeros(3)})


def turned_into(name: str, kind: str, change):
    def spoil(state: dict) -> None:
        state[name] = change(state[name])

    spoil.__name__ = kind
    return spoil


def filled(name: str, value: float):
    return lambda state: state[name].fill_(value)


UNUSUAL = dict(
    sparse=torch.Tensor.to_sparse,
    complex=lambda value: value.to(torch.complex64),
    eight_bits=lambda value: value.to(torch.float8_e4m3fn),
)
BROKEN = [
    (without("stages.0.0.pwconv1.weight"), ("stages.0.0.pwconv1.weight is not there",)),
    (without("stages.1.0.dwconv.P"), ("stages.1.positions is not there",)),
    (resized("stages.0.1.gamma"), ("stages.0.1.gamma is (3, 3) there and (8,) in the model",)),
    (added("stages.0.2.gamma"), ("stages.0.2.gamma has no place",)),
    (added("stages.4.0.norm.weight"), ("stages.4.0.norm.weight has no place",)),
    (filled("stages.0.1.gamma", torch.nan), ("NaN", "stages.0.1.gamma")),
    (filled("stages.1.0.dwconv.P", torch.inf), ("infinity", "stages.1")),
    *(
        (turned_into("stages.0.1.gamma", kind, change), ("sparse, quantised", "stages.0.1.gamma"))
        for kind, change in UNUSUAL.items()
    ),
    (added("stages.0.0.grn.gamma"), ("stages.0.0.grn.gamma has no place",)),
]


def name_of(value: object) -> str:
    return getattr(value, "__name__", str(value))[:40]


@pytest.mark.parametrize("spoil, words", BROKEN, ids=name_of)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(spoil, words, tmp_path):
    state = published("bilinear").state_dict()
    spoil(state)
    backbone = ours()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone.init_cfg = dict(
        type="mmdcls.Pretrained", checkpoint=saved(dict(model=state), tmp_path)
    )
    backbone.is_init = False
    with pytest.raises(InputError) as refused:
        backbone.init_weights()
    assert all(word in str(refused.value) for word in words), str(refused.value)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_a_backbone_of_fewer_stages_takes_what_it_has(tmp_path):
    theirs = published("bilinear")
    file = saved(dict(model=theirs.state_dict()), tmp_path)
    mine = ours(file, out_indices=(0, 2))
    image = torch.randn(1, 3, 64, 64)
    maps = theirs(image)
    for level, index in zip(mine(image), (0, 2), strict=True):
        torch.testing.assert_close(level, maps[index], rtol=1e-5, atol=1e-5)


def test_a_deeper_file_is_refused(tmp_path):
    deeper = dict(depths=(2, 1, 4, 1), channels=SMALL["arch"]["channels"])
    file = saved(dict(model=published("bilinear", arch=deeper).state_dict()), tmp_path)
    with pytest.raises(InputError, match=r"stages\.2\.3\.\S+ has no place"):
        ours(file)


def test_the_initialiser_must_come_last(tmp_path):
    file = saved(dict(model=published("bilinear").state_dict()), tmp_path)
    pretrained = dict(type="mmdcls.Pretrained", checkpoint=file)
    others = dict(type="TruncNormal", layer="Conv2d", std=0.02)
    with pytest.raises(InputError, match="put mmdcls.Pretrained last"):
        ours(init_cfg=[pretrained, others])
    ours(init_cfg=[others, pretrained])
