"""Dense ConvNeXts under the names of four code bases start a DCLS backbone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.published_convnext import (
    SMALL,
    PublishedBlock,
    PublishedConvNeXt,
    assert_same_maps,
    dense,
    ours,
    saved,
)
from mmdcls.checkpoint.layouts import tensors_in
from mmdcls.dcls import INTERPOLATIONS
from mmdcls.errors import InputError

WIDE = dict(kernel_size=17, kernel_count=49)


def tree(**children: nn.Module) -> nn.Module:
    module = nn.Module()
    for name, child in children.items():
        module.add_module(name, child)
    return module


def holding(module: nn.Module, name: str, values: torch.Tensor) -> nn.Module:
    module.register_parameter(name, nn.Parameter(values))
    return module


def sequence(modules: list[nn.Module]) -> nn.Module:
    return nn.Sequential(*modules)


def as_mmpretrain(model: PublishedConvNeXt) -> dict:
    def block(b: PublishedBlock) -> nn.Module:
        parts = dict(norm=b.norm, pointwise_conv1=b.pwconv1, pointwise_conv2=b.pwconv2)
        return holding(tree(depthwise_conv=b.dwconv, **parts), "gamma", b.gamma.detach())

    stages = sequence([sequence([block(b) for b in stage]) for stage in model.stages])
    backbone = tree(downsample_layers=model.downsample_layers, stages=stages, norm3=model.norm)
    return dict(state_dict=tree(backbone=backbone, head=tree(fc=model.head)).state_dict(), meta={})


def as_timm(model: PublishedConvNeXt) -> dict:
    def block(b: PublishedBlock) -> nn.Module:
        mlp = tree(fc1=b.pwconv1, fc2=b.pwconv2)
        return holding(tree(conv_dw=b.dwconv, norm=b.norm, mlp=mlp), "gamma", b.gamma.detach())

    stem, *others = model.downsample_layers
    stages = [
        tree(downsample=down, blocks=sequence([block(b) for b in stage]))
        for down, stage in zip([nn.Identity(), *others], model.stages, strict=True)
    ]
    head = tree(norm=model.norm, fc=model.head)
    return tree(stem=stem, stages=sequence(stages), head=head).state_dict()


def as_timm_with_convolutions(model: PublishedConvNeXt) -> dict:
    """Some of timm's models have 1x1 convolutions in place of linear layers."""
    return {
        name: value[..., None, None] if ".mlp.fc" in name and name.endswith("weight") else value
        for name, value in as_timm(model).items()
    }


def as_torchvision(model: PublishedConvNeXt) -> dict:
    def block(b: PublishedBlock) -> nn.Module:
        quiet = nn.Identity()
        parts = [b.dwconv, quiet, b.norm, b.pwconv1, quiet, b.pwconv2, quiet]
        scale = b.gamma.detach()[:, None, None]
        return holding(tree(block=sequence(parts)), "layer_scale", scale)

    features = []
    for down, stage in zip(model.downsample_layers, model.stages, strict=True):
        features += [down, sequence([block(b) for b in stage])]
    classifier = sequence([model.norm, nn.Flatten(), model.head])
    return tree(features=sequence(features), classifier=classifier).state_dict()


CODE_BASES: dict[str, Callable[[PublishedConvNeXt], dict]] = {
    "original": lambda model: dict(model=model.state_dict()),
    "mmpretrain": as_mmpretrain,
    "timm": as_timm,
    "timm, 1x1": as_timm_with_convolutions,
    "torchvision": as_torchvision,
}
each_code_base = pytest.mark.parametrize("code_base", CODE_BASES)


@each_code_base
def test_with_49_elements_maps_are_those_of_the_dense_model(code_base, tmp_path, said):
    theirs = dense()
    if code_base == "mmpretrain":
        # The only one that names the classifier's norm as an output norm, which then is loaded.
        nn.init.ones_(theirs.norm.weight)
        nn.init.zeros_(theirs.norm.bias)
    mine = ours(saved(CODE_BASES[code_base](theirs), tmp_path), **WIDE)
    assert_same_maps(mine, theirs)
    assert f"({code_base.partition(',')[0]} ConvNeXt" in said[0]


@each_code_base
def test_plain_load_state_dict_refuses_dense_weights(code_base):
    weights = tensors_in(CODE_BASES[code_base](dense()))
    weights = {name.removeprefix("backbone."): value for name, value in weights.items()}
    heads = ("norm.", "head.", "classifier.")
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


def test_a_convnext_of_another_build_is_refused(tmp_path: Path):
    state = dense().state_dict()
    state["stages.0.0.grn.gamma"] = torch.zeros(1, 1, 1, 4 * SMALL["arch"]["channels"][0])
    with pytest.raises(InputError, match=r"stages\.0\.0\.grn\.gamma has no place"):
        ours(saved(dict(model=state), tmp_path), **WIDE)
