"""Groups for any optimiser: all that learns, once, at its rate and with its weight decay."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from helpers.small_networks import DEEP, NETWORKS, layer, several
from mmdcls.dcls import (
    Dcls2d,
    clamp_model_,
    convert,
    group_table,
    parameter_groups,
    scheduled_rates,
)
from mmdcls.dcls.wrappers import without_wrappers

LR, DECAY = 1e-3, 0.05
each_network = pytest.mark.parametrize("network", NETWORKS)


def settings(net: nn.Module, **options) -> dict[str, tuple[float, float]]:
    """name -> (rate factor, weight decay)."""
    found = {
        id(parameter): (group["lr"] / LR, group["weight_decay"])
        for group in parameter_groups(net, LR, DECAY, **options)
        for parameter in group["params"]
    }
    names = {id(value): without_wrappers(name) for name, value in net.named_parameters()}
    return {names[key]: value for key, value in found.items()}


def is_of_elements(name: str) -> bool:
    return name.rpartition(".")[2] in ("positions", "sigma")


@each_network
@pytest.mark.parametrize("options", [{}, dict(position_lr_mult=5.0)], ids=str)
def test_every_parameter_that_learns_is_in_one_group(network, options):
    net = NETWORKS[network]()
    groups = parameter_groups(net, LR, DECAY, **options)
    found = Counter(id(parameter) for group in groups for parameter in group["params"])
    assert found == Counter(id(p) for p in net.parameters() if p.requires_grad)
    assert len({group["group_name"] for group in groups}) == len(groups)
    torch.optim.AdamW(groups)


@each_network
def test_positions_have_a_rate_of_their_own_and_only_matrices_decay(network):
    net = NETWORKS[network]()
    shapes = {without_wrappers(name): p.ndim for name, p in net.named_parameters()}
    for name, found in settings(net, position_lr_mult=5.0).items():
        decays = not is_of_elements(name) and shapes[name] > 1
        rate = 5.0 if is_of_elements(name) else 1.0
        assert found == (pytest.approx(rate), DECAY if decays else 0), name


@pytest.mark.parametrize("network", DEEP)
def test_rates_decay_with_depth_where_the_model_tells_it(network):
    for name, (rate, _) in settings(NETWORKS[network](), decay_rate=0.5).items():
        depth = int(name.split(".")[2]) if name.startswith("0.") else 3
        assert rate == pytest.approx(0.5 ** (3 - depth)), name


def test_the_longest_custom_key_decides():
    keys = {"1.": dict(lr_mult=0.1), "1.positions": dict(lr_mult=2.0, decay_mult=1.0)}
    found = settings(several(), position_lr_mult=5.0, custom_keys=keys)
    assert found["1.positions"] == (pytest.approx(10), DECAY)
    assert found["1.sigma"] == (pytest.approx(0.5), 0)
    assert found["1.weight"] == (pytest.approx(0.1), DECAY)
    assert found["4.positions"] == (pytest.approx(5), 0)


def test_a_custom_key_that_no_name_has_is_said():
    net = several()
    net[5].requires_grad_(False)
    keys = {key: dict(lr_mult=2.0) for key in ("heed", "5.", "2.")}
    with pytest.warns(UserWarning, match=r"changes nothing by 5\., heed: no parameter"):
        parameter_groups(net, LR, DECAY, custom_keys=keys)


STEPS = 200
FALLING = [1 - step / STEPS for step in range(STEPS)]
# What tells parameter_groups of the schedule, and the scheduler that training has.
SCHEDULES = {
    "none": ([1.0] * STEPS, lambda optimizer: ConstantLR(optimizer, 1.0)),
    "falling": (FALLING, lambda optimizer: LambdaLR(optimizer, lambda step: 1 - step / STEPS)),
    "rising": (
        [(1 + step) / STEPS for step in range(STEPS)],
        lambda optimizer: LambdaLR(optimizer, lambda step: (1 + step) / STEPS),
    ),
    "exponential": (None, lambda optimizer: ExponentialLR(optimizer, 0.97)),
    "cosine with a floor": (
        None,
        lambda optimizer: CosineAnnealingLR(optimizer, STEPS, eta_min=1e-3),
    ),
    "warm-up and cosine": (
        None,
        lambda optimizer: SequentialLR(
            optimizer,
            [LinearLR(optimizer, 0.01, total_iters=20), CosineAnnealingLR(optimizer, STEPS - 20)],
            [20],
        ),
    ),
    "one cycle": (
        None,
        lambda optimizer: OneCycleLR(
            optimizer,
            [10 * group["lr"] for group in optimizer.param_groups],
            total_steps=STEPS,
            cycle_momentum=False,
        ),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("travel", [0.5, 3.0])
def test_positions_that_are_pulled_one_way_end_where_was_promised(name, travel):
    schedule, scheduler = SCHEDULES[name]
    net = nn.Sequential(layer(kernel_size=(101, 7)), layer("bilinear", kernel_size=(1, 21)))
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    groups = parameter_groups(
        net,
        LR,
        DECAY,
        position_travel=travel,
        schedule=schedule or scheduled_rates(scheduler, STEPS),
    )
    optimizer = torch.optim.AdamW(groups)
    steps = scheduler(optimizer)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (-sum(parameter.sum() for parameter in net.parameters())).backward()
        optimizer.step()
        steps.step()
    for name, radius in (("0.positions", 50), ("1.positions", 10)):
        way = dict(net.named_parameters())[name].detach() - start[name]
        expected = torch.full_like(way, travel * radius)
        torch.testing.assert_close(way, expected, rtol=0.01, atol=0)


OTHER = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
REFUSED = {
    "both speeds": (dict(position_lr_mult=5.0, position_travel=1.0), "leave one out"),
    "travel without a schedule": (dict(position_travel=1.0), "schedule=None need each other"),
    "a schedule for nothing": (dict(schedule=[1.0]), "position_travel=None and schedule="),
    "a schedule of zeros": (dict(position_travel=1.0, schedule=[0.0]), "not all of them 0"),
    "a schedule of rates": (dict(position_travel=1.0, schedule=[1e-3] * 9), "divide rates by"),
    "a schedule of words": (dict(position_travel=1.0, schedule=["fast"]), "must be numbers"),
    "a schedule that is none": (dict(position_travel=1.0, schedule=5), "must be numbers"),
    "an unending schedule": (
        dict(
            position_travel=1.0,
            schedule=scheduled_rates(lambda optimizer: ReduceLROnPlateau(optimizer), 5),
        ),
        "ReduceLROnPlateau follows",
    ),
    "a scheduler of another optimizer": (
        dict(
            position_travel=1.0,
            schedule=scheduled_rates(lambda optimizer: ConstantLR(OTHER, 1.0), 5),
        ),
        "this one is of another",
    ),
    "a rate that is set elsewhere": (
        dict(
            position_travel=1.0,
            schedule=scheduled_rates(lambda optimizer: OneCycleLR(optimizer, 1.0, 5), 5),
        ),
        r"max_lr=\[group\[.lr.\] for group",
    ),
    "a negative rate": (dict(position_lr_mult=-1.0), "position_lr_mult=-1.0 must be"),
    "no depth": (dict(decay_rate=0.5), "decay_rate=0.5 needs .* Sequential has none"),
    "another decay": (dict(decay_type="block_wise"), "'block_wise' is unknown; .*stage_wise"),
    "a bad key": (dict(custom_keys={"1.": dict(lr=2)}), r"custom_keys\['1.'\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name):
    options, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        parameter_groups(several(), LR, DECAY, **options)


@pytest.mark.parametrize("name, value", [("lr", -1), ("lr", "fast"), ("weight_decay", None)])
def test_rate_and_decay_are_numbers(name, value):
    with pytest.raises(ValueError, match=f"^{name}={value!r} must be a number"):
        parameter_groups(several(), **{"lr": LR, "weight_decay": DECAY, name: value})


def test_parameters_in_pieces_are_refused():
    net = several()
    net[1].positions = nn.Parameter(net[1].positions.detach().flatten())
    with pytest.raises(ValueError, match="cut into pieces .* DistributedDataParallel"):
        parameter_groups(net, LR, DECAY)


def test_the_table_has_every_group_and_counts_all_parameters():
    net = several()
    groups = parameter_groups(net, LR, DECAY, position_lr_mult=5.0)
    title, head, *rows = group_table(groups).splitlines()
    assert title == "Optimiser groups" and head.split() == ["group", "rate", "decay", "parameters"]
    counts = {row.split()[0]: int(row.split()[3].replace(",", "")) for row in rows}
    assert list(counts) == [group["group_name"] for group in groups]
    assert sum(counts.values()) == sum(parameter.numel() for parameter in net.parameters())


def test_a_training_moves_all_that_learns_and_nothing_that_is_frozen():
    net = NETWORKS["half frozen"]()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.AdamW(parameter_groups(net, LR, DECAY, position_lr_mult=5.0))
    net(torch.randn(2, 4, 8, 8)).square().sum().backward()
    optimizer.step()
    clamp_model_(net)
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert moved == learning


def test_a_schedule_that_can_be_read_once_serves_every_group():
    model = nn.Sequential(*(Dcls2d(2, 2, size, kernel_count=2) for size in (5, 7)))
    rates = [
        [g["lr"] for g in parameter_groups(model, 0.1, 0, position_travel=1.0, schedule=schedule)]
        for schedule in ([1.0] * 4, iter([1.0] * 4))
    ]
    assert rates[0] == rates[1]


def test_a_scheduler_in_place_of_what_makes_one_is_refused():
    with pytest.raises(ValueError, match="must be a function that makes one"):
        scheduled_rates(CosineAnnealingLR(torch.optim.SGD([torch.zeros(1)]), 5), 5)


def test_positions_that_layers_borrow_from_outside_of_the_model_are_named():
    stage = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(2)))
    convert(nn.ModuleDict({"stage1": stage}), dict(where=".*", kernel_size=5))
    parameter_groups(stage, 0.1, 0)
    with pytest.warns(UserWarning, match="^1 use positions of layers outside"):
        parameter_groups(stage[1:], 0.1, 0)
