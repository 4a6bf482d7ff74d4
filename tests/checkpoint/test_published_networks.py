"""Published ResNet, ConvFormer, CAFormer and FastViT, in timm's and in mm's networks."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from mmengine.registry import MODELS
from timm.models import FastVit, FeatureListNet, MetaFormer
from torch import nn

from helpers.catalogue import skip_without
from helpers.published_networks import NETWORKS, fastvit_t, file_of, ours, published
from mmdcls.checkpoint.conversion import in_published_layout
from mmdcls.checkpoint.load import Reading, by_names_of, load_into
from mmdcls.dcls import convert
from mmdcls.errors import InputError

each_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
RENAMED = {name: network for name, network in NETWORKS.items() if network.filter}
RENAMED["fastvit without encoding"] = replace(NETWORKS["fastvit"], build=fastvit_t)


def load(module: nn.Module, state: dict, axis_order: str | None = None):
    return load_into(module, dict(state_dict_ema=state), "file", Reading(axis_order=axis_order))


@torch.no_grad()
def assert_same(mine: nn.Module, theirs: nn.Module, image: torch.Tensor) -> None:
    for given, wanted in zip(levels(mine(image)), levels(theirs(image)), strict=True):
        # Relative to the size of the values, which in a random network is any.
        torch.testing.assert_close(given, wanted, rtol=1e-5, atol=1e-5 * wanted.std().item())


def levels(maps: torch.Tensor | Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    return [maps] if isinstance(maps, torch.Tensor) else maps


def features_of(model: nn.Module, out_indices: Sequence[int] = (0, 1, 2, 3)) -> nn.Module:
    """What timm makes of a network with features_only=True."""
    flatten = isinstance(model, (MetaFormer, FastVit))
    return FeatureListNet(model, out_indices, flatten_sequential=flatten).eval()


class Holder(nn.Module):
    """As TIMMBackbone of mmseg and mmpretrain holds a network."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.timm_model = model


@pytest.mark.parametrize("network", RENAMED.values(), ids=RENAMED)
def test_names_and_shapes_are_those_that_timm_reads(network):
    model = network.build()
    found = network.filter(file_of(model), model)
    wanted = model.state_dict()
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@each_network
def test_it_computes_what_the_published_layers_do(network):
    theirs, mine = published(network), ours(network)
    report = load(mine, file_of(theirs), network.axis_order)
    assert report.left == report.unused == ()
    assert_same(mine, theirs, torch.randn(network.image))


@each_network
def test_it_goes_back_as_it_came(network):
    mine, file = ours(network), file_of(published(network))
    load(mine, file, network.axis_order)
    found = in_published_layout(dict(state_dict=mine.state_dict()), mine, "ours.pth")
    (back,) = found.values()
    assert list(found) == ["state_dict_ema"]
    assert set(back) == set(file)
    for name, value in file.items():
        torch.testing.assert_close(back[name], value, rtol=0, atol=0)


MAPS = {name: NETWORKS[name] for name in ("convformer", "caformer", "fastvit", "audio fastvit")}


@pytest.mark.parametrize("network", MAPS.values(), ids=MAPS)
def test_feature_maps_are_theirs_and_what_only_a_classifier_has_is_unused(network):
    theirs = published(network)
    file = file_of(theirs)
    mine = features_of(ours(network))
    report = load(Holder(mine), file)
    assert report.left == ()
    assert {name.partition(".")[0] for name in report.unused} <= {"norm", "head", "conv_exp"}
    assert_same(mine, features_of(theirs), torch.randn(network.image))


class Whole(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.decode_head = backbone, nn.Linear(2, 2)


def test_the_backbone_of_a_whole_model_takes_it_and_its_head_is_left():
    theirs = published(NETWORKS["fastvit"])
    mine = features_of(ours(NETWORKS["fastvit"]))
    report = load(Whole(Holder(mine)), file_of(theirs))
    assert report.left == ("decode_head.weight", "decode_head.bias")
    assert_same(mine, features_of(theirs), torch.randn(1, 3, 64, 64))


def test_a_network_of_fewer_stages_takes_what_it_has():
    theirs = published(NETWORKS["fastvit"])
    file = file_of(theirs)
    mine = features_of(ours(NETWORKS["fastvit"]), (0, 2))
    load(mine, file)
    assert_same(mine, features_of(theirs, (0, 2)), torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize("scope", ["mmseg", "mmdet", "mmpretrain"])
def test_a_resnet_of_mm_takes_it_as_well(scope):
    skip_without(scope)
    network = NETWORKS["resnet"]
    theirs = published(network)
    size = dict(depth=50, stem_channels=64, base_channels=4, out_indices=(0, 1, 2, 3))
    config = dict(type="mmdcls.Converted", network=f"{scope}.ResNet", dcls=network.rule, **size)
    mine = MODELS.build(config)
    # That of mm returns nothing.
    mine.eval()
    report = load(mine, theirs.state_dict(), "height_first")
    assert set(report.unused) == {"fc.weight", "fc.bias"}
    assert_same(mine, features_of(theirs, (1, 2, 3, 4)), torch.randn(network.image))


def test_positions_of_a_group_that_differ_are_named():
    network = NETWORKS["caformer"]
    file = file_of(published(network))
    name = "stages.0.1.token_mixer.dwconv.P"
    file[name] = file[name] + 1
    with pytest.raises(InputError, match=r"stages\.0\.blocks\.1\S+ differ .* share='layer'"):
        load(ours(network), file)


def test_a_bilinear_file_does_not_say_its_axis_order():
    network = NETWORKS["resnet"]
    with pytest.raises(InputError, match="axis_order='height_first'"):
        load(ours(network), published(network).state_dict())


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_what_has_no_place_is_refused_but_in_the_one_that_its_authors_loaded_so(network, caplog):
    file = file_of(published(network)) | {"stages.9.extra.weight": torch.zeros(1)}
    mine = ours(network)
    if network is NETWORKS["caformer"]:
        assert load(mine, file).unused == ("stages.9.extra.weight",)
        assert set(by_names_of(mine, file)) == set(mine.state_dict())
        assert "stages.9.extra.weight" in caplog.text
        return
    with pytest.raises(InputError, match="stages.9.extra.weight has no place"):
        load(mine, file, network.axis_order)


@each_network
def test_ours_moves_between_a_network_and_its_features(network):
    whole, features = ours(network), features_of(ours(network))
    report = load_into(features, dict(state_dict=whole.state_dict()), "ours.pth")
    assert report.left == ()
    wanted = features_of(whole)
    assert_same(features, wanted, torch.randn(network.image))


def test_dense_weights_of_the_original_code_start_a_converted_network():
    """With an element for every cell they compute the same."""
    network = NETWORKS["convformer"]
    dense = network.build().eval()
    rule = dict(where=".*", where_depthwise=True, kernel_size=9, kernel_count=49, start="random")
    mine = convert(network.build(), rule)[0].eval()
    report = load_into(mine, dict(state_dict=file_of(dense)), "dense.pth")
    assert report.layout == "original MetaFormer, state_dict"
    assert_same(mine, dense, torch.randn(network.image))
