"""Any network becomes a DCLS network by rules, and computes the same where it can."""

import copy

import pytest
import torch
from torch import nn

from helpers.networks_of_convs import Network, draw_image, draw_network
from mmdcls.dcls import (
    INTERPOLATIONS,
    Dcls1d,
    Dcls2d,
    Dcls3d,
    DclsNd,
    Rule,
    convert,
    merged,
    position_owners,
)
from mmdcls.dcls.groups import position_groups, stage_of
from mmdcls.dcls.inventory import inventory, pattern_of

# The narrowest Gaussian gives 0.1 % to each neighbour.
EXACT = [name for name in INTERPOLATIONS if name != "gaussian"]
DENSE = r"layer\d\.\d\.conv2"
MIXERS = r"layer\d\.\d\.mixer"
STRIPS = r"row|column"
# With an element for every cell that the dense kernels have.
RULES = {
    "dense, strided and dilated": dict(where=DENSE, kernel_size=7, kernel_count=9),
    "depthwise": dict(where=MIXERS, kernel_size=9, kernel_count=25),
    "of the dense extent": dict(where=DENSE, kernel_count=9),
    "strips": dict(where=STRIPS, kernel_size=11, kernel_count=7),
    "more elements than cells": dict(where=DENSE, kernel_size=7, kernel_count=12),
    "several": [
        dict(where=DENSE, kernel_size=5, kernel_count=9, share="layer"),
        dict(where=f"{MIXERS}|{STRIPS}", kernel_size=13, kernel_count=25),
    ],
    "everything that is depthwise": dict(
        where=".*", where_depthwise=True, kernel_size=9, kernel_count=25
    ),
    "everything of a size": dict(where=".*", where_kernel_size=3, kernel_count=9),
    "everything of a stride": dict(
        where=r"layer.*", where_stride=2, where_kernel_size=(3, 3), kernel_size=7, kernel_count=9
    ),
}
each_rule = pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
each_interpolation = pytest.mark.parametrize("interpolation", EXACT)
each_share = pytest.mark.parametrize("share", ["stage", "layer"])


def with_options(rules: dict | list[dict], **options) -> list[dict]:
    given = [rules] if isinstance(rules, dict) else rules
    return [options | rule for rule in given]


def layers_of(model: nn.Module) -> dict[str, DclsNd]:
    return {name: m for name, m in model.named_modules() if isinstance(m, DclsNd)}


@each_share
@each_rule
@each_interpolation
def test_with_enough_elements_the_network_computes_the_same(interpolation, rules, share):
    network, x = draw_network(), draw_image()
    wanted = network(x)
    made, report = convert(network, with_options(rules, interpolation=interpolation, share=share))
    assert made is network and not network.training
    assert set(layers_of(network)) == {row.name for row in report.replaced}
    torch.testing.assert_close(network(x), wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(merged(network)(x), wanted, rtol=0, atol=1e-6)
    assert max(row.error for row in report.replaced) < 1e-6


@each_share
@each_rule
def test_the_report_is_of_what_is_there(rules, share):
    network = draw_network()
    before = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    count = sum(p.numel() for p in network.parameters())
    _, report = convert(network, with_options(rules, share=share))
    assert set(before) == {row.name for row in report.replaced} | set(report.left)
    assert report.parameters_before == count
    assert report.parameters_after == sum(p.numel() for p in network.parameters())
    layers = layers_of(network)
    for row in report.replaced:
        layer, dense = layers[row.name], before[row.name]
        assert layer.owner is layers[row.owner]
        assert row.kernel_size == layer.kernel_size and row.kernel_count == layer.kernel_count
        assert row.dense_size == dense.kernel_size
        # Each has the parameters of a convolution, but for the axis of elements.
        assert layer.stride == dense.stride and (layer.bias is None) == (dense.bias is None)
        assert row.name in str(report)
    for owner, names in report.groups.items():
        assert names[0] == owner
        assert len({stage_of(name) for name in names}) == 1
        assert share == "stage" or names == (owner,)
    groups = {group.name: tuple(group.layers) for group in position_groups(network)}
    assert groups == report.groups


def test_the_first_rule_that_names_a_convolution_decides():
    network = draw_network()
    rules = [
        dict(where=r"layer1\..*conv2", kernel_size=5, kernel_count=2),
        dict(where=DENSE, kernel_size=7, kernel_count=3),
    ]
    convert(network, rules)
    sizes = {name: (m.kernel_size[0], m.kernel_count) for name, m in layers_of(network).items()}
    # The last is dilated by 2, which adds its two spaces.
    assert sizes == {
        "layer1.0.conv2": (5, 2),
        "layer1.1.conv2": (5, 2),
        "layer2.0.conv2": (7, 3),
        "layer2.1.conv2": (9, 3),
    }


def test_strips_have_elements_that_move_along_one_axis():
    network = draw_network()
    _, report = convert(network, dict(where=STRIPS, kernel_size=15, kernel_count=4))
    assert network.row.kernel_size == (1, 15) and network.column.kernel_size == (15, 1)
    assert network.row.positions.shape == (1, 4, 1, 4)
    network.row.positions.data.uniform_(-20, 20)
    network.row.clamp_positions_()
    assert network.row.positions.abs().max() == 7
    assert network.row.kernel().shape == (4, 1, 1, 15)
    # 7 weights became 4, and a coordinate for each.
    assert report.parameters_after - report.parameters_before == 2 * 4 * (4 + 4 - 7)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_network_may_be_a_convolution(axes):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1](4, 4, 3, padding=1, groups=4).double()
    x = torch.randn(1, 4, *(9,) * axes, dtype=torch.double)
    layer, report = convert(conv, dict(where="", kernel_size=5, kernel_count=3**axes))
    assert type(layer) is (Dcls1d, Dcls2d, Dcls3d)[axes - 1]
    torch.testing.assert_close(layer(x), conv(x))
    assert report.groups == {"": ("",)}
    again = copy.deepcopy(layer)
    nn.init.zeros_(again.weight)
    if axes > 1:
        again.load_state_dict(conv.state_dict())
        torch.testing.assert_close(again(x), conv(x))


def test_a_convolution_of_two_names_is_replaced_in_both_places():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    network = nn.Sequential(conv, nn.ReLU(), conv).eval()
    x = torch.randn(1, 4, 9, 9)
    wanted = network(x)
    convert(network, dict(where="0", kernel_count=9))
    assert network[0] is network[2]
    torch.testing.assert_close(network(x), wanted)


class OwnForward(nn.Conv2d):
    def forward(self, x):
        return super().forward(2 * x)


def hooked() -> nn.Module:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    conv.register_forward_hook(lambda module, inputs, output: output * 2)
    return conv


class TwoMaps(nn.Conv2d):
    def forward(self, x, mask):
        return super().forward(x * mask)


class LowRank(nn.Conv2d):
    """Adds what starts at zero and learns."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.change = nn.Parameter(torch.zeros_like(self.weight))

    def forward(self, x):
        return self._conv_forward(x, self.weight + self.change, self.bias)


def patched() -> nn.Module:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    forward = conv.forward
    conv.forward = lambda x: 2 * forward(x)
    return conv


def spoilt() -> nn.Module:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    conv.weight.data[1, 2, 0, 0] = float("nan")
    return conv


class Listed(nn.Module):
    """Runs convolutions by a list of Python's own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.steps = {"all": [(self.conv, nn.ReLU())]}

    def forward(self, x):
        for conv, act in self.steps["all"]:
            x = act(conv(x))
        return x


REFUSED = {
    "computes something else": lambda: OwnForward(4, 4, 3, padding=1),
    "TwoMaps, which computes something else": lambda: TwoMaps(4, 4, 3, padding=1),
    "LowRank, which computes something else": lambda: LowRank(4, 4, 3, padding=1),
    "Conv2d, which computes something else": patched,
    "NaN or infinity": spoilt,
    "also in a plain list": Listed,
    "weights of torch.complex64": lambda: nn.Conv2d(4, 4, 3, padding=1, dtype=torch.complex64),
    "hooks, which": hooked,
    "hooks, which would": lambda: nn.utils.spectral_norm(nn.Conv2d(4, 4, 3, padding=1)),
    "parametrisations": lambda: nn.utils.parametrizations.weight_norm(
        nn.Conv2d(4, 4, 3, padding=1)
    ),
    "no padding that could grow": lambda: nn.Conv2d(4, 4, 3),
    "must be at least": lambda: nn.Conv2d(4, 4, 9, padding=4),
    "odd or even": lambda: nn.Conv2d(4, 4, 4, stride=4, padding=1),
    "no weight yet": lambda: nn.LazyConv2d(4, 3, padding=1),
    "cells, more than": lambda: nn.Conv2d(2048, 4096, 3, padding=9, dilation=9, device="meta"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_replaced_is_named_and_nothing_changes(reason):
    network = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), REFUSED[reason]())
    with pytest.raises(ValueError, match=rf"rules name cannot be replaced: 1\S* .*{reason}"):
        convert(network, dict(where=r"\d(\.conv)?", kernel_size=7, kernel_count=9))
    assert not layers_of(network)
    # Named by no rule, it harms nobody.
    convert(network, dict(where="0", kernel_size=7, kernel_count=9))


class Wrapped(nn.Conv2d):
    def forward(self, x):
        return super().forward(x)


def test_convolutions_of_a_subclass_are_judged_whatever_torch_makes_by_default():
    with torch.device("meta"):
        convert(nn.Sequential(Wrapped(4, 4, 3, padding=1)), dict(where="0", kernel_count=9))
    network = nn.Sequential(Wrapped(4, 4, 3, padding=1))
    torch.set_default_dtype(torch.double)
    try:
        convert(network, dict(where="0", kernel_count=9))
    finally:
        torch.set_default_dtype(torch.float)
    assert set(layers_of(network)) == {"0"}


def test_tied_weights_are_refused():
    network = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))
    network[1].weight = network[0].weight
    with pytest.raises(ValueError, match="0 shares parameters with another module"):
        convert(network, dict(where="0", kernel_count=9))


def test_a_rule_that_replaces_nothing_lists_what_there_is():
    with pytest.raises(ValueError, match=r"where='conv2' replaces nothing(.|\n)*layerN.M.conv2"):
        convert(Network(), dict(where="conv2", kernel_size=7))
    with pytest.raises(ValueError, match="replaces nothing"):
        convert(Network(), dict(where=DENSE, where_depthwise=True))
    with pytest.raises(ValueError, match="that no rule before it names"):
        convert(Network(), [dict(where=DENSE), dict(where=r"layer1\.0\.conv2")])
    with pytest.raises(ValueError, match="none of more than one cell"):
        convert(nn.Linear(2, 2), dict(where=".*"))


@pytest.mark.parametrize(
    "rules", [None, [], MIXERS, [MIXERS], 3, {}, dict(kernel_size=7), dict(where=".*", size=7)]
)
def test_what_is_no_rule_is_refused(rules):
    with pytest.raises(ValueError, match="rules"):
        convert(Network(), rules)


def test_sizes_may_be_lists_as_files_have_them():
    rule = dict(where=".*", where_kernel_size=[3, 3], where_stride=[1, 1], kernel_size=[7, 5])
    _, report = convert(draw_network(), rule | dict(kernel_count=2))
    assert {row.dense_size for row in report.replaced} == {(3, 3)}
    # Of two, the second is dilated by 2, which adds its two spaces.
    assert {row.kernel_size for row in report.replaced} == {(7, 5), (9, 7)}


BAD = {
    "where": [None, "(", 3],
    "kernel_size": [0, -1, "7", 2.5, (7, 0), True],
    "kernel_count": [0, "all", 2.5, None, True],
    "interpolation": ["cubic", None],
    "initial_spread": ["wide", 1],
    "share": ["network", None],
    "start": ["zeros", None],
    "where_depthwise": ["yes", 1],
    "where_kernel_size": [0, "3"],
    "where_stride": [0, "2"],
}


@pytest.mark.parametrize("name", BAD)
def test_options_that_do_not_fit_are_refused(name):
    for value in BAD[name]:
        with pytest.raises(ValueError, match=f"{name}="):
            Rule(**{"where": ".*", name: value})


@each_share
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_the_neutral_number_of_elements_costs_what_the_dense_kernels_did(interpolation, share):
    """Within half an element of every slice."""
    network = draw_network()
    _, report = convert(
        network, dict(where=MIXERS, kernel_size=17, interpolation=interpolation, share=share)
    )
    per_element = sum(
        p.numel() // layer.kernel_count
        for layer in layers_of(network).values()
        for name, p in layer.named_parameters()
        if name != "bias"
    )
    assert abs(report.parameters_after - report.parameters_before) <= per_element / 2


def test_a_random_start_is_the_published_one():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 7, padding=3))
    convert(network, dict(where="0", kernel_size=17, kernel_count=34, start="random"))
    layer = network[0]
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not layer.bias.any()
    assert layer.positions.std().item() == pytest.approx(0.5, rel=0.05)


def test_elements_beyond_the_dense_cells_start_by_the_spread():
    reach = {}
    for spread in ("normal", "uniform"):
        network = draw_network()
        convert(network, dict(where=DENSE, kernel_size=17, kernel_count=60, initial_spread=spread))
        reach[spread] = farthest(network)
        network.load_state_dict(draw_network().state_dict())
        reach[spread, "loaded"] = farthest(network)
    assert max(reach["normal"], reach["normal", "loaded"]) < 4
    assert min(reach["uniform"], reach["uniform", "loaded"]) > 7


def farthest(network: nn.Module) -> float:
    return max(owner.positions.abs().max().item() for owner in position_owners(network).values())


def test_what_is_frozen_stays_frozen_whole():
    network = draw_network()
    network.layer1[0].requires_grad_(False)
    convert(network, dict(where=f"{DENSE}|{MIXERS}", kernel_size=7, kernel_count=9))
    for name, layer in layers_of(network).items():
        frozen = name.startswith("layer1.0.")
        assert all(p.requires_grad != frozen for p in layer.parameters()), name
        assert layer.owner.positions.requires_grad != frozen


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.float, torch.double])
def test_the_dtype_stays(dtype):
    network = draw_network(dtype)
    convert(network, dict(where=DENSE, kernel_count=9))
    assert {p.dtype for p in network.parameters()} == {dtype}


def test_an_empty_network_is_converted_and_filled_later():
    dense, x = draw_network(), draw_image()
    with torch.device("meta"):
        network = Network()
    rule = dict(where=f"{DENSE}|{STRIPS}", kernel_size=7, kernel_count=9)
    _, report = convert(network, rule)
    assert {p.device.type for p in network.parameters()} == {"meta"}
    assert {row.error for row in report.replaced} == {None}
    filled = network.to_empty(device=torch.get_default_device()).double().eval()
    filled.load_state_dict(dense.state_dict())
    torch.testing.assert_close(filled(x), dense(x), rtol=0, atol=1e-6)
    moved, _ = convert(draw_network(), rule)
    assert {p.device.type for p in moved.to("meta").parameters()} == {"meta"}


def test_wrapped_models_are_refused():
    model = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(model)
    with pytest.raises(ValueError, match="before it is wrapped"):
        convert(model, dict(where=".*"))


def test_the_inventory_has_a_line_for_each_kind():
    rows = {(row.pattern, row.kernel_size): row for row in inventory(Network())}
    assert set(rows) == {
        ("stem", (2, 2)),
        ("layerN.M.conv2", (3, 3)),
        ("layerN.M.mixer", (5, 5)),
        ("row", (1, 7)),
        ("column", (7, 1)),
    }
    dense = rows["layerN.M.conv2", (3, 3)]
    assert len(dense.names) == 4 and dense.strides == ((1, 1), (2, 2))
    assert str(dense) == (
        "layerN.M.conv2  4 x 3x3 dense, channels 4, stride 1x1, 2x2, dilation 1x1, 2x2"
    )


@pytest.mark.parametrize(
    ("name", "pattern", "stage"),
    [
        ("layer1.0.conv2", "layerN.M.conv2", "layer1"),
        ("layer2.0.conv.1.conv", "layerN.M.conv.K.conv", "layer2"),
        ("stages.0.blocks.11.conv_dw", "stages.N.blocks.M.conv_dw", "stages.0"),
        (
            "timm_model.stages_0.blocks.1.mlp",
            "timm_model.stages_N.blocks.M.mlp",
            "timm_model.stages_0",
        ),
        ("conv1", "conv1", "conv1"),
        ("head", "head", "head"),
        ("0", "N", "0"),
    ],
)
def test_names_of_stages_and_kinds(name, pattern, stage):
    assert (pattern_of(name), stage_of(name)) == (pattern, stage)
