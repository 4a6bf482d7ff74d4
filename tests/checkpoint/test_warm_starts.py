"""Dense ConvNeXts under the names of their code bases start a DCLS backbone."""

import pytest
import torch
from torch import nn

from helpers.code_bases import CODE_BASES, WITH_OUTPUT_NORM, WITH_V2
from helpers.published_convnext import PublishedConvNeXt, assert_same_maps, dense, ours, saved
from mmdcls.checkpoint.layouts import tensors_in
from mmdcls.dcls import INTERPOLATIONS
from mmdcls.errors import InputError

WIDE = dict(kernel_size=17, kernel_count=49)
V2 = dict(use_grn=True, layer_scale_init_value=0)

each_code_base = pytest.mark.parametrize("code_base", CODE_BASES)


@each_code_base
def test_with_49_elements_maps_are_those_of_the_dense_model(code_base, tmp_path, said):
    theirs = dense()
    theirs.norm.reset_parameters()
    mine = ours(saved(CODE_BASES[code_base](theirs), tmp_path), **WIDE)
    assert_same_maps(mine, theirs)
    assert f"({code_base.partition(',')[0]} ConvNeXt" in said[0]


@pytest.mark.parametrize("code_base", WITH_V2)
def test_maps_are_those_of_a_dense_convnext_v2(code_base, tmp_path):
    theirs = dense(use_grn=True)
    theirs.norm.reset_parameters()
    assert_same_maps(ours(saved(CODE_BASES[code_base](theirs), tmp_path), **WIDE, **V2), theirs)


@pytest.mark.parametrize("code_base", WITH_V2)
@pytest.mark.parametrize(
    "options", [{}, dict(use_grn=True), dict(layer_scale_init_value=0)], ids=str
)
def test_a_convnext_v2_in_a_backbone_of_another_build_is_refused(code_base, options, tmp_path):
    file = saved(CODE_BASES[code_base](dense(use_grn=True)), tmp_path)
    with pytest.raises(InputError, match="ConvNeXt V2, which has use_grn=True and layer_scale"):
        ours(file, **WIDE, **options)


def test_a_convnext_in_a_backbone_for_v2_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"stages\.0\.0\.grn\.gamma is not there"):
        ours(saved(dense().state_dict(), tmp_path), **WIDE, **V2)


@each_code_base
def test_output_norms_are_loaded_where_a_file_has_them(code_base, tmp_path):
    theirs = dense()
    mine = ours(saved(CODE_BASES[code_base](theirs), tmp_path), **WIDE)
    is_theirs = torch.equal(mine.norm3.weight, theirs.norm.weight)
    assert is_theirs == (code_base in WITH_OUTPUT_NORM)
    assert is_theirs or torch.equal(mine.norm3.weight, torch.ones(20))


def test_final_norms_heads_and_projectors_are_unused_and_said_so(tmp_path, said):
    unused = {
        "original": "norm, head",
        "original, DINOv3": "norm, norms",
        "original, EUPE": "norm, norms, projectors",
        "timm, hnf": "head, norm_pre",
        "Hugging Face, classifier": "layernorm, classifier",
        "Hugging Face DINOv3": "layer_norm",
    }
    for code_base, parts in unused.items():
        ours(saved(CODE_BASES[code_base](dense()), tmp_path), **WIDE)
        assert "left at initialisation: norm0, norm1, norm2, norm3;" in said[-1]
        found = said[-1].partition("unused: ")[2].partition(";")[0]
        assert sorted(found.split(", ")) == sorted(parts.split(", "))


@each_code_base
def test_plain_load_state_dict_refuses_dense_weights(code_base):
    weights = tensors_in(CODE_BASES[code_base](dense()))
    weights = {name.removeprefix("backbone."): value for name, value in weights.items()}
    heads = ("norm.", "head.", "classifier.", "decode_head.")
    for some in (weights, {k: v for k, v in weights.items() if not k.startswith(heads)}):
        with pytest.raises(InputError, match=r"ConvNeXt: .*mmdcls\.Pretrained"):
            ours().load_state_dict(some, strict=False)


@pytest.mark.parametrize("size", [7, 17, 23])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("interpolation", [name for name in INTERPOLATIONS if name != "gaussian"])
def test_maps_are_the_same_in_kernels_of_any_size(interpolation, shared, size, tmp_path):
    theirs = dense()
    file = saved(dict(model=theirs.state_dict()), tmp_path)
    options = dict(interpolation=interpolation, share_positions=shared, kernel_count=49)
    assert_same_maps(ours(file, kernel_size=size, **options), theirs)


def true_errors(backbone: nn.Module, theirs: PublishedConvNeXt) -> list[float]:
    errors = []
    for mine, other in zip(backbone.stages, theirs.stages, strict=True):
        kernels = torch.stack([block.dwconv.kernel(mine.shares()) for block in mine.children()])
        target = torch.zeros_like(kernels)
        target[..., 5:12, 5:12] = torch.stack([block.dwconv.weight for block in other])
        errors.append(((kernels - target).norm() / target.norm()).item())
    return errors


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_the_error_of_fewer_elements_is_logged_by_stage(interpolation, tmp_path, said):
    theirs = dense()
    file = saved(dict(model=theirs.state_dict()), tmp_path)
    backbone = ours(file, kernel_size=17, kernel_count=34, interpolation=interpolation)
    with torch.no_grad():
        errors = true_errors(backbone, theirs)
    by_stage = ", ".join(f"stages.{stage} {error:.2g}" for stage, error in enumerate(errors))
    assert said[0].endswith(by_stage)
    # The 15 smallest of 49 cells hold about 5 % of the squares of random kernels, more where
    # several blocks have to agree.
    assert all(0 < error < 0.5 for error in errors)


def test_warm_started_positions_move(tmp_path):
    file = saved(dict(model=dense().state_dict()), tmp_path)
    backbone = ours(file, layer_scale_init_value=1.0, **WIDE).train()
    sum(level.square().sum() for level in backbone(torch.randn(1, 3, 64, 64))).backward()
    assert all((stage.positions.grad != 0).any() for stage in backbone.stages)


def test_a_kernel_that_is_too_small_for_the_dense_one_is_refused(tmp_path):
    file = saved(dict(model=dense().state_dict()), tmp_path)
    with pytest.raises(InputError, match=r"stages\.0 .*kernel_size=\(5, 5\).*\(7, 7\)"):
        ours(file, kernel_size=5)
