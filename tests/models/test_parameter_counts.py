"""As many parameters as the published models: a DCLS kernel costs what a dense 7x7 one does."""

from pathlib import Path

import pytest
import torch
from mmengine import load as load_yaml
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from helpers.catalogue import CONVERTED, build_without_memory, leaf_of, load

IMAGENET_CLASSES = 1000


def millions(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.mark.parametrize(
    ("arch", "kernel_count", "published"),
    [("tiny", 34, 28.588), ("small", 40, 50.217), ("base", 40, 88.583)],
)
def test_a_classifier_has_the_published_number_of_parameters(arch, kernel_count, published):
    options = dict(arch=arch, kernel_count=kernel_count, out_indices=(3,))
    with torch.device("meta"):
        backbone = MODELS.build(dict(type="mmdcls.DclsConvNeXt", **options))
        head = nn.Linear(backbone.channels[-1], IMAGENET_CLASSES)
    assert round(millions(backbone) + millions(head), 3) == published


@pytest.mark.parametrize(
    ("method", "size", "published"),
    [
        ("upernet", "tiny_", 60),
        ("upernet", "small_", 82),
        ("upernet", "base_", 122),
        ("cascade_mask_rcnn", "-t_", 86),
        ("cascade_mask_rcnn", "-s_", 108),
        ("cascade_mask_rcnn", "-b_", 146),
        # Published for the plain ConvNeXt, whose number the DCLS backbone keeps.
        ("mask_rcnn", "-t_", 48),
    ],
)
def test_a_model_has_the_published_number_of_parameters(method, size, published):
    assert round(millions(full_size(leaf_of(method, size)))) == published


@pytest.mark.parametrize(
    ("method", "name", "change"),
    [
        # Of the published classifiers.
        ("upernet", "resnet50", -1_548_288),
        ("mask_rcnn", "resnet50", -1_548_288),
        ("upernet", "convformer", 73_984),
        ("upernet", "caformer", 8_832),
        ("upernet", "fastvit", -30_720),
        # Neutral, but for what a whole number of elements leaves.
        ("upernet", "inceptionnext", pytest.approx(0, abs=2_000)),
        ("segnext", "mscan-t", pytest.approx(0, abs=2_000)),
        ("mobilenet_v2", "mobilenet", pytest.approx(0, abs=2_000)),
    ],
)
def test_a_converted_network_has_about_the_parameters_of_the_dense_one(method, name, change):
    cfg = load(leaf_of(method, name))
    converted = built_size(cfg)
    backbone = cfg.model.backbone
    backbone.type = backbone.pop("network")
    del backbone["dcls"]
    assert converted - built_size(cfg) == change


def built_size(cfg: Config) -> int:
    return sum(parameter.numel() for parameter in build_without_memory(cfg).parameters())


@pytest.mark.parametrize("leaf", CONVERTED, ids=lambda path: path.stem)
def test_metafiles_say_how_many_parameters_a_converted_network_has(leaf):
    (model,) = (
        model
        for model in load_yaml(leaf.parent / "metafile.yml")["Models"]
        if model["Name"] == leaf.stem
    )
    said = model["Metadata"]["Parameters (M)"]
    digits = 0 if isinstance(said, int) else 1
    assert round(built_size(load(leaf)) / 1e6, digits) == said


@pytest.mark.parametrize(
    ("method", "size"), [("upernet", "tiny"), ("cascade_mask_rcnn", "-t"), ("mask_rcnn", "-t")]
)
def test_the_gaussian_kernel_costs_what_the_bilinear_one_does(method, size):
    bilinear, gaussian = (full_size(leaf_of(method, size + kind)) for kind in ("_", "-gaussian"))
    assert millions(gaussian) == pytest.approx(millions(bilinear), rel=1e-4)


@pytest.mark.parametrize(
    ("size", "published"),
    [("tiny_", 28.6), ("small_", 50.2), ("base_", 88.6), ("tiny-gaussian", 28.6)],
)
def test_a_classifier_of_a_config_has_the_published_number_of_parameters(size, published):
    assert round(millions(full_size(leaf_of("classification", size))), 1) == published


def full_size(leaf: Path) -> nn.Module:
    return build_without_memory(load(leaf))
