"""`import mmdcls.timm`: DCLS networks wherever timm's own serve."""

import importlib
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

import mmdcls.timm
from helpers.catalogue import skip_without
from helpers.published_convnext import PublishedConvNeXt, published, randomised, saved
from helpers.published_networks import NETWORKS, file_of
from helpers.published_networks import published as published_network
from helpers.without import run_without
from mmdcls.checkpoint.conversion import in_published_layout
from mmdcls.dcls import DclsNd, convert, position_owners

ROOT = Path(__file__).resolve().parents[1]
# How many DCLS layers and sets of positions the published rule gives, and how many parameters.
COUNTS = {
    "dcls_convnext_tiny": (18, 4, 28_587_688),
    "dcls_convnext_small": (36, 4, 50_217_064),
    "dcls_convnext_base": (36, 4, 88_582_632),
    "dcls_convnext_tiny_gaussian": (18, 4, 28_586_536),
    "dcls_convformer_s18": (18, 4, 26_848_432),
    "dcls_caformer_s18": (6, 2, 26_350_488),
    "dcls_fastvit_sa24": (25, 4, 21_523_496),
    "dcls_fastvit_sa36": (37, 4, 31_452_584),
}
# Thin ones, as published and by timm's arguments.
ARCH = dict(depths=(2, 1, 1, 1), channels=(8, 12, 16, 20))
THIN = dict(depths=ARCH["depths"], dims=ARCH["channels"], num_classes=10)
THIN_FASTVIT = dict(layers=(2, 1, 2, 1), embed_dims=(8, 16, 32, 64), mlp_ratios=(2, 2, 2, 2))


def thin(**options) -> nn.Module:
    return timm.create_model("dcls_convnext_tiny", **THIN, **options).eval()


def theirs() -> PublishedConvNeXt:
    return published("bilinear", arch=ARCH, kernel_size=17, kernel_count=34)


def maps_of(model: PublishedConvNeXt, x: Tensor) -> list[Tensor]:
    """What the stages give, without norms."""
    maps = []
    for downsample, stage in zip(model.downsample_layers, model.stages, strict=True):
        maps.append(stage(downsample(maps[-1] if maps else x)))
    return maps


def test_timm_lists_them():
    assert set(timm.list_models("dcls_*")) == set(mmdcls.timm.__all__) == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_layers_positions_and_parameters_are_as_many_as_published(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    layers, owners, parameters = COUNTS[name]
    assert sum(isinstance(module, DclsNd) for module in model.modules()) == layers
    assert len(position_owners(model)) == owners
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def by_overlay(file: str) -> nn.Module:
    source = dict(pretrained=True, pretrained_cfg_overlay=dict(file=file))
    return thin(features_only=True, **source)


def by_checkpoint_path(file: str) -> Callable[[Tensor], list[Tensor]]:
    model = thin(checkpoint_path=file)
    return lambda x: model.forward_intermediates(x, intermediates_only=True)


def in_mm(scope: str) -> Callable[[str], nn.Module]:
    def build(file: str) -> nn.Module:
        skip_without(scope)
        backbone = MODELS.build(
            dict(
                type=f"{scope}.TIMMBackbone",
                model_name="dcls_convnext_tiny",
                features_only=True,
                pretrained=False,
                init_cfg=dict(type="mmdcls.Pretrained", checkpoint=file),
                **THIN,
            )
        )
        backbone.init_weights()
        # That of mmpretrain returns nothing.
        backbone.eval()
        return backbone

    return build


WAYS_IN = {
    "features": by_overlay,
    "checkpoint_path": by_checkpoint_path,
    "mmseg": in_mm("mmseg"),
    "mmpretrain": in_mm("mmpretrain"),
}


@pytest.mark.parametrize("build", WAYS_IN.values(), ids=WAYS_IN)
@torch.no_grad()
def test_a_published_file_gives_the_published_maps(build, tmp_path):
    model, image = theirs(), torch.randn(1, 3, 64, 64)
    mine = build(saved(dict(model=model.state_dict()), tmp_path))
    torch.testing.assert_close(list(mine(image)), maps_of(model, image), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_published_fastvit_gives_the_published_maps(tmp_path):
    network = NETWORKS["fastvit"]
    model, image = published_network(network), torch.randn(network.image)
    file = saved(dict(state_dict_ema=file_of(model)), tmp_path)
    source = dict(pretrained=True, pretrained_cfg_overlay=dict(file=file))
    mine = timm.create_model("dcls_fastvit_sa24", features_only=True, **source, **THIN_FASTVIT)
    wanted = model.forward_intermediates(image, intermediates_only=True)
    for given, level in zip(mine.eval()(image), wanted, strict=True):
        torch.testing.assert_close(given, level, rtol=1e-5, atol=1e-5 * level.std().item())


def test_dense_weights_start_it_as_they_start_a_converted_network(tmp_path):
    dense = randomised(timm.create_model("convnext_tiny", **THIN), 0)
    file = saved(dict(model=dense.state_dict()), tmp_path)
    overlay = dict(file=file, num_classes=10)
    mine = thin(pretrained=True, pretrained_cfg_overlay=overlay)
    _, rule = mmdcls.timm.NETWORKS["dcls_convnext_tiny"]
    converted, _ = convert(dense, replace(rule, start="dense"))
    for name, value in converted.state_dict().items():
        torch.testing.assert_close(mine.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["dcls_convnext_tiny", "dcls_fastvit_sa24"])
def test_an_encoder_of_segmentation_models_trains(name):
    skip_without("segmentation_models_pytorch")
    smp = importlib.import_module("segmentation_models_pytorch")
    sizes = THIN if "convnext" in name else THIN_FASTVIT
    model = smp.Unet(f"tu-{name}", encoder_weights=None, classes=3, **sizes)
    y = model(torch.randn(2, 3, 64, 64))
    assert y.shape == (2, 3, 64, 64)
    y.square().sum().backward()
    owners = position_owners(model.encoder)
    assert len(owners) == 4 and all(owner.positions.grad is not None for owner in owners.values())


def test_another_number_of_classes_leaves_the_head_as_it_starts(tmp_path):
    file = saved(dict(model=theirs().state_dict()), tmp_path)
    overlay = dict(file=file, num_classes=10)
    same = thin(pretrained=True, pretrained_cfg_overlay=overlay)
    other = timm.create_model(
        "dcls_convnext_tiny",
        pretrained=True,
        pretrained_cfg_overlay=overlay,
        **THIN | dict(num_classes=3),
    )
    assert other.head.fc.weight.shape == (3, 20)
    for name, value in same.state_dict().items():
        if "head.fc" not in name:
            torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=0)


def test_it_goes_back_into_the_published_layers():
    mine, model = thin(), theirs()
    content = in_published_layout(dict(state_dict=mine.state_dict()), mine, "ours.pth")
    model.load_state_dict(content["model"])
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        given = mine.forward_intermediates(image, intermediates_only=True)
        torch.testing.assert_close(given, maps_of(model, image), rtol=1e-5, atol=1e-5)


def test_features_hold_the_positions_of_a_stage_once_and_train_them():
    model = thin(features_only=True).train()
    assert {name for name in model.state_dict() if name.endswith("positions")} == {
        f"stages_{stage}.blocks.0.conv_dw.positions" for stage in range(4)
    }
    sum(level.square().sum() for level in model(torch.randn(1, 3, 64, 64))).backward()
    assert all(owner.positions.grad.abs().sum() > 0 for owner in position_owners(model).values())


def test_weights_are_given_or_not_asked_for():
    with pytest.raises(ValueError, match="dcls_convnext_tiny brings no weights.*pretrained=False"):
        thin(pretrained=True)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="dcls_convnext_tiny finds no file .*nowhere.pth, which"):
        by_overlay(str(tmp_path / "nowhere.pth"))


def test_torch_hub_has_them(tmp_path):
    assert set(runpy.run_path(str(ROOT / "hubconf.py"))) >= set(COUNTS)
    file = saved(dict(model=theirs().state_dict()), tmp_path)
    options = dict(pretrained=True, pretrained_cfg_overlay=dict(file=file), features_only=True)
    model = torch.hub.load(str(ROOT), "dcls_convnext_tiny", source="local", **THIN, **options)
    assert len(position_owners(model)) == 4


def test_without_timm_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "mmdcls.timm")
    with pytest.raises(ImportError, match="pip install timm"):
        importlib.import_module("mmdcls.timm")


ALONE = """
from helpers.networks import make_importable
make_importable()
import mmdcls.timm, timm
model = timm.create_model("dcls_convnext_tiny", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
print(sum("positions" in name for name in model.state_dict()))
"""


@pytest.mark.slow
def test_it_needs_nothing_of_openmmlab(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    assert run_without(["mmengine", "mmcv", "mmseg", "mmdet"], ALONE).strip() == "4"
