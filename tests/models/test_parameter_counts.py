"""As many parameters as the published models: a DCLS kernel costs what a dense 7x7 one does."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from helpers.catalogue import build_without_memory, leaf_of, load

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
