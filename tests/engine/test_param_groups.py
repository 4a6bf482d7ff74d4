"""The optimiser rule: rates by depth, positions without weight decay, custom keys."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.registry import HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import get_priority
from torch import nn

from mmdcls.dcls import Dcls2d, ElementPositions, parameter_groups

LR, DECAY = 1e-3, 0.05


class Model(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Sequential(nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4))


def model(depths=(3, 3, 9, 3), **options):
    arch = dict(depths=depths, channels=(4, 4, 4, 4))
    cfg = dict(type="mmdcls.DclsConvNeXt", arch=arch, kernel_size=5, kernel_count=3, **options)
    return Model(MODELS.build(cfg))


def optimiser_wrapper(
    net, optimizer="AdamW", wrapper="OptimWrapper", accumulative_counts=1, **paramwise_cfg
):
    cfg = dict(
        type=wrapper,
        optimizer=dict(type=optimizer, lr=LR, weight_decay=DECAY),
        accumulative_counts=accumulative_counts,
    )
    if optimizer is torch.optim.Rprop:
        del cfg["optimizer"]["weight_decay"]
    rule = dict(
        type="mmdcls.DclsOptimWrapperConstructor",
        optim_wrapper_cfg=cfg,
        paramwise_cfg=paramwise_cfg,
    )
    return OPTIM_WRAPPER_CONSTRUCTORS.build(rule)(net)


def settings(net, **paramwise_cfg):
    """name -> (rate factor, weight decay)."""
    groups = optimiser_wrapper(net, **paramwise_cfg).optimizer.param_groups
    by_id = {
        id(parameter): (group["lr"] / LR, group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    return {name: by_id[id(p)] for name, p in net.named_parameters() if id(p) in by_id}


# Published runs; factors as their optimiser applied them.
PUBLISHED = [
    ("UPerNet T", (3, 3, 9, 3), "stage_wise", 0.9, (0.478, 0.531, 0.590, 0.656, 0.729)),
    ("UPerNet S, B", (3, 3, 27, 3), "stage_wise", 0.9, (0.254, 0.282, 0.314, 0.349, 0.387)),
    ("Cascade T", (3, 3, 9, 3), "layer_wise", 0.7, (0.082, 0.118, 0.168, 0.240, 0.700)),
]


@pytest.mark.parametrize("run, depths, kind, rate, factors", PUBLISHED, ids=lambda x: str(x)[:12])
def test_rates_are_those_of_the_published_runs(run, depths, kind, rate, factors):
    found = settings(model(depths), decay_type=kind, decay_rate=rate)
    stem, *stages = factors
    assert found["backbone.downsample_layers.0.0.weight"][0] == pytest.approx(stem, abs=6e-4)
    for stage, factor in enumerate(stages):
        # Positions ranked with the first block of their stage.
        for name in ("positions", "0.dwconv.weight"):
            assert found[f"backbone.stages.{stage}.{name}"][0] == pytest.approx(factor, abs=6e-4)
    assert found["backbone.norm3.weight"][0] == found["head.0.weight"][0] == 1


def test_layer_wise_rates_grow_by_groups_of_three_blocks():
    found = settings(model(), decay_type="layer_wise", decay_rate=0.5)
    rates = [found[f"backbone.stages.2.{block}.pwconv1.weight"][0] for block in range(9)]
    assert rates == [0.5**4] * 3 + [0.5**3] * 3 + [0.5**2] * 3
    assert found["backbone.downsample_layers.2.1.weight"][0] == 0.5**4
    assert found["backbone.downsample_layers.3.1.weight"][0] == 0.5


RULES = {
    "nothing": {},
    "published": dict(decay_rate=0.9, decay_type="stage_wise", position_lr_mult=1.0),
    "layer by layer": dict(decay_rate=0.7, num_layers=12, position_lr_mult=5.0),
    "custom keys": dict(custom_keys={"head": dict(lr_mult=10.0, decay_mult=0.5)}),
}
NETWORKS = {
    "shared": lambda: model(interpolation="gaussian"),
    "alone": lambda: model(share_positions=False, depths=(1, 1, 4, 1)),
    "frozen": lambda: model(frozen_stages=2),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_a_loop_of_ones_own_has_the_same_groups(network, rule):
    net = NETWORKS[network]()
    optimizer = optimiser_wrapper(net, **RULES[rule]).optimizer
    own = torch.optim.AdamW(parameter_groups(net, LR, DECAY, **RULES[rule]))
    for one, other in zip(optimizer.param_groups, own.param_groups, strict=True):
        params, others = one.pop("params"), other.pop("params")
        assert [id(parameter) for parameter in params] == [id(parameter) for parameter in others]
        assert one == other


@pytest.mark.parametrize("share_positions", [True, False])
@pytest.mark.parametrize("multiplier", [1.0, 5.0])
def test_positions_and_sigma_have_their_own_rate_and_no_decay(share_positions, multiplier):
    net = model(interpolation="gaussian", share_positions=share_positions)
    found = settings(net, position_lr_mult=multiplier, decay_rate=0.9)
    plain = settings(net, decay_rate=0.9)
    elements = [name for name in found if name.endswith((".positions", ".sigma"))]
    assert len(elements) == 2 * (4 if share_positions else 18)
    for name in elements:
        assert found[name] == (pytest.approx(multiplier * plain[name][0]), 0)


@pytest.mark.parametrize("swapped", [False, True])
def test_backbones_of_different_depth_have_rates_of_their_own(swapped):
    depths = dict(a=(1, 1, 3, 1), b=(1, 1, 12, 1))
    names = sorted(depths, reverse=swapped)
    net = nn.ModuleDict({name: model(depths[name]).backbone for name in names})
    found = settings(net, decay_rate=0.5, decay_type="layer_wise")
    rates = {name: found[f"{name}.downsample_layers.0.0.weight"][0] for name in names}
    assert rates == pytest.approx(dict(a=0.5**5, b=0.5**8))


def test_matrices_decay_and_vectors_do_not():
    found = settings(model())
    for name, parameter in model().named_parameters():
        expected = 0 if parameter.ndim <= 1 or name.endswith("positions") else DECAY
        assert found[name] == (1, expected), name


def test_the_longest_custom_key_decides():
    keys = {
        "head": dict(lr_mult=10.0),
        "head.1": dict(lr_mult=2.0, decay_mult=0.5),
        "stages.3.positions": dict(lr_mult=0.1, decay_mult=1.0),
    }
    found = settings(model(), custom_keys=keys, position_lr_mult=5.0)
    assert found["head.0.weight"] == (pytest.approx(10), DECAY)
    assert found["head.0.bias"] == (pytest.approx(10), 0)
    assert found["head.1.weight"] == (pytest.approx(2), DECAY / 2)
    assert found["backbone.stages.3.positions"] == (pytest.approx(0.5), DECAY)
    assert found["backbone.stages.2.positions"] == (pytest.approx(5), 0)


def test_a_custom_key_that_no_name_has_is_said(capsys):
    from mmengine.logging import MMLogger

    MMLogger.get_instance("keys", logger_name="keys")
    settings(model(), custom_keys={"heed": dict(lr_mult=10.0), "head": dict(lr_mult=10.0)})
    text = capsys.readouterr()
    assert "custom_keys changes nothing by heed: no parameter" in text.out + text.err


def test_every_learning_parameter_is_in_one_group_and_frozen_ones_in_none():
    net = model(frozen_stages=2)
    groups = optimiser_wrapper(net, decay_rate=0.9).optimizer.param_groups
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    learning = [id(parameter) for parameter in net.parameters() if parameter.requires_grad]
    assert sorted(grouped) == sorted(learning)


# What no rule with groups of tensors of any shape can serve.
UNSERVED = {
    "Muon": "matrices only",
    "LBFGS": "one group only",
    "SparseAdam": "sparse gradients only",
}
OPTIMISERS = {
    name: item
    for name, item in vars(torch.optim).items()
    if isinstance(item, type)
    and issubclass(item, torch.optim.Optimizer)
    and item is not torch.optim.Optimizer
    and name not in UNSERVED
}


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("wrapper", ["OptimWrapper", "mmdcls.AmpOptimWrapper"])
@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_torch_optimisers_and_wrappers_take_the_groups(optimizer, wrapper, steps):
    """Whether by class or by name; with accumulation nothing moves before the last step."""
    net = model(depths=(1, 1, 1, 1), layer_scale_init_value=1.0)
    rule = dict(decay_rate=0.9, position_lr_mult=5, custom_keys={"head": dict(lr_mult=2.0)})
    found = optimiser_wrapper(net, optimizer, wrapper, accumulative_counts=steps, **rule)
    rates = {group["group_name"]: group["lr"] for group in found.optimizer.param_groups}
    assert rates["layer_1.positions"] == pytest.approx(5 * rates["layer_1.decay"])
    before = [parameter.clone() for parameter in net.parameters()]
    for step in range(steps):
        assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)), step
        with found.optim_context(net):
            maps = net.backbone(torch.randn(1, 3, 64, 64))
            loss = 1e4 * sum(level.square().sum() for level in maps)
            loss = loss + sum((value + 1).square().sum() for value in net.head.parameters())
        found.update_params(loss)
    still = [
        name
        for (name, after), old in zip(net.named_parameters(), before, strict=True)
        if torch.equal(after, old)
    ]
    assert not still
    assert "base_lr" in found.get_lr()


@pytest.mark.parametrize("optimizer", ["Rprop", "AdamW"])
def test_an_optimiser_that_is_given_no_weight_decay_takes_the_groups(optimizer):
    """Biases, norms and positions have none then either, whatever is the optimiser's default."""
    cfg = dict(optimizer=dict(type=optimizer, lr=LR))
    rule = dict(type="mmdcls.DclsOptimWrapperConstructor", optim_wrapper_cfg=cfg)
    groups = OPTIM_WRAPPER_CONSTRUCTORS.build(rule)(model()).optimizer.param_groups
    default = 0.01 if optimizer == "AdamW" else None
    assert [group.get("weight_decay") for group in groups] == [default, 0.0, 0.0]


def test_a_model_without_backbone_is_served_when_rates_do_not_decay():
    net = nn.Sequential(
        Dcls2d(3, 4, 5, kernel_count=2, interpolation="gaussian"), nn.BatchNorm2d(4)
    )
    found = settings(net, position_lr_mult=5.0)
    assert found["0.positions"] == found["0.sigma"] == (pytest.approx(5), 0)
    assert found["0.weight"] == (1, DECAY)


def test_the_table_of_groups_is_logged_once(capsys):
    from mmengine.logging import MMLogger

    MMLogger.get_instance("table", logger_name="table")
    optimiser_wrapper(model(), decay_rate=0.9)
    text = capsys.readouterr()
    text = text.out + text.err
    assert text.count("Optimiser groups") == 1
    lines = [line.split() for line in text.splitlines()]
    (head,) = (index for index, line in enumerate(lines) if line[:1] == ["group"])
    assert lines[head] == ["group", "rate", "decay", "parameters"]
    rows = {line[0]: line[1:] for line in lines[head + 1 :] if len(line) == 4}
    # Four channels with three elements each, on two axes, at the rate of the third layer of six.
    assert rows["layer_3.positions"] == [f"{LR * 0.9**4:.3g}", "0", "24"]
    counts = sum(int(row[2].replace(",", "")) for row in rows.values())
    assert counts == sum(parameter.numel() for parameter in model().parameters())


REFUSED = [
    (dict(decay_rate=0.0), ("decay_rate=0.0", "at most 1")),
    (dict(decay_rate=1.5), ("decay_rate=1.5", "at most 1")),
    (dict(decay_rate="fast"), ("'fast'", "decay_rate")),
    (dict(decay_type="block_wise"), ("'block_wise'", "layer_wise", "stage_wise")),
    (dict(position_lr_mult=-1), ("position_lr_mult=-1", "at least 0")),
    (dict(num_layers=0), ("num_layers=0", "at least 1")),
    (dict(norm_decay_mult=0.0), ("norm_decay_mult", "custom_keys")),
    (dict(custom_keys={"head": dict(lr_mul=2.0)}), ("custom_keys['head']", "lr_mult")),
    (dict(custom_keys={"head": dict(lr_mult="2")}), ("custom_keys['head'].lr_mult='2'",)),
]


@pytest.mark.parametrize("paramwise_cfg, words", REFUSED, ids=str)
def test_wrong_options_are_named(paramwise_cfg, words):
    with pytest.raises(ValueError) as error:
        optimiser_wrapper(model(), **paramwise_cfg)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_decay_with_depth_needs_a_backbone_that_knows_its_depth():
    with pytest.raises(ValueError, match=r"get_layer_depth.*decay_rate=1"):
        optimiser_wrapper(nn.Linear(2, 2), decay_rate=0.9)


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_the_hook_brings_positions_back_before_the_average_is_taken(interpolation):

    hook = HOOKS.build(dict(type="mmdcls.ClampPositions"))
    assert get_priority(hook.priority) < get_priority(EMAHook.priority)
    net = model(interpolation=interpolation)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, ElementPositions) and module.positions is not None:
                module.positions.mul_(100)
    hook.after_train_iter(SimpleNamespace(model=net), 0)
    for stage in net.backbone.stages:
        assert stage.positions.abs().max() == 2
