"""Rates that decay with depth, in networks of others that say how deep a parameter lies."""

import pytest
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, DefaultScope
from torch import nn

from helpers.catalogue import skip_without
from mmdcls.dcls import position_owners

LR, RATE = 1e-3, 0.5
# Blocks of a network, in the order of its forward.
CONVNEXT_ATTO = [2, 2, 6, 2]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def timm_network(model_name: str, where: str, **options) -> dict:
    return dict(
        type="mmdcls.Converted",
        network="TIMMBackbone",
        model_name=model_name,
        pretrained=False,
        dcls=dict(where=where, kernel_size=9, kernel_count=3),
        **options,
    )


CONVNEXT = timm_network("convnext_atto", r".*\.conv_dw")
RESNET = dict(
    type="mmdcls.Converted",
    network="mmpretrain.ResNet",
    depth=50,
    base_channels=4,
    dcls=dict(where=r"layer\d\.\d+\.conv2", kernel_size=5, kernel_count=3),
)


def rates(backbone: dict, **paramwise_cfg) -> dict[str, float]:
    """What each parameter learns at, as a share of the rate."""
    skip_without("mmpretrain" if "mmpretrain" in backbone["network"] else "timm")
    model = nn.ModuleDict(dict(backbone=MODELS.build(backbone), head=nn.Conv2d(4, 4, 1)))
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type="mmdcls.DclsOptimWrapperConstructor",
            optim_wrapper_cfg=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=LR)),
            paramwise_cfg=dict(decay_rate=RATE) | paramwise_cfg,
        )
    )
    groups = {id(p): group for group in constructor(model).param_groups for p in group["params"]}
    found = {name: groups[id(p)]["lr"] / LR for name, p in model.named_parameters()}
    owners = [name for name in found if name.endswith(".positions")]
    assert len(owners) == len(position_owners(model)) > 0
    for name in owners:
        # Positions learn with the layer that they belong to.
        assert found[name] == found[name.replace(".positions", ".weight")]
    assert found["head.weight"] == 1
    return found


def test_blocks_of_timm_follow_each_other():
    found = rates(CONVNEXT)
    blocks = [
        found[f"backbone.timm_model.stages_{stage}.blocks.{block}.conv_dw.weight"]
        for stage, count in enumerate(CONVNEXT_ATTO)
        for block in range(count)
    ]
    depth = sum(CONVNEXT_ATTO)
    assert blocks == pytest.approx([RATE ** (depth - index) for index in range(depth)])
    # What halves the map belongs to the block after it.
    halving = "backbone.timm_model.stages_1.downsample.1.weight"
    assert found[halving] == found["backbone.timm_model.stages_1.blocks.0.conv_dw.weight"]
    assert found["backbone.timm_model.stem_0.weight"] == pytest.approx(RATE ** (depth + 1))


def test_stages_of_timm_follow_each_other():
    found = rates(CONVNEXT, decay_type="stage_wise")
    for name, rate in found.items():
        stage = next((s for s in range(4) if f".stages_{s}." in name), None)
        if stage is not None:
            assert rate == pytest.approx(RATE ** (4 - stage)), name
    assert found["backbone.timm_model.stem_0.weight"] == pytest.approx(RATE**5)


@pytest.mark.parametrize(
    ("model_name", "where"),
    [
        ("fastvit_t8", r".*\.mlp\.conv\.conv"),
        ("inception_next_atto", r".*\.dwconv_hw"),
        ("resnet18", r".*layer\d\.\d\.conv\d"),
    ],
)
def test_rates_of_networks_of_timm_grow_with_depth(model_name, where):
    found = rates(timm_network(model_name, where))
    by_stage = [
        [rate for name, rate in found.items() if f"stages_{s}." in name or f"layer{s + 1}." in name]
        for s in range(4)
    ]
    for earlier, later in zip(by_stage, by_stage[1:], strict=False):
        assert max(earlier) < min(later)
    assert max(by_stage[-1]) == RATE


def test_networks_of_mmpretrain_count_as_they_say():
    found = rates(RESNET)
    names = ("conv1", "layer1.0.conv2", "layer2.0.conv2", "layer2.2.conv2", "layer3.0.conv2")
    names += ("layer3.3.conv2", "layer4.2.conv2")
    layers = (0, 1, 2, 3, 4, 5, 6)
    for name, layer in zip(names, layers, strict=True):
        assert found[f"backbone.{name}.weight"] == pytest.approx(RATE ** (7 - layer)), name


@pytest.mark.parametrize(
    ("backbone", "options", "sentence"),
    [
        (CONVNEXT, dict(num_layers=6), "num_layers=6 .*TIMMBackbone"),
        (RESNET, dict(num_layers=6), "num_layers=6 .*ResNet"),
        (RESNET, dict(decay_type="stage_wise"), "decay_type='stage_wise'.*'layer_wise'"),
        (timm_network("convformer_s18", r".*dwconv"), {}, "get_layer_depth.*decay_rate=1"),
    ],
)
def test_what_a_network_does_not_tell_is_a_sentence(backbone, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        rates(backbone, **options)
