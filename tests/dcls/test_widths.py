"""Widths of all elements of a model follow their schedule; what is frozen stays."""

import math

import pytest
import torch

from helpers.small_networks import NETWORKS, layer
from mmdcls.dcls import (
    INTERPOLATIONS,
    WIDTH_CURVES,
    anneal_width_,
    position_owners,
    set_width_,
)

WITH_SIGMA = [name for name, rule in INTERPOLATIONS.items() if rule.has_sigma]
each_network = pytest.mark.parametrize("network", NETWORKS)


def width_of(owner) -> torch.Tensor:
    return owner.sigma.detach().abs() + INTERPOLATIONS[owner.interpolation].width_floor


def curve(kind: str, progress: float, first: float, last: float, floor: float) -> float:
    """In cells, from what each kind promises."""
    if kind == "geometric":
        logarithm = (1 - progress) * math.log(first - floor) + progress * math.log(last - floor)
        return floor + math.exp(logarithm)
    part = progress if kind == "linear" else math.sin(math.pi * progress / 2) ** 2
    return first + part * (last - first)


@pytest.mark.parametrize("kind", WIDTH_CURVES)
@pytest.mark.parametrize("interpolation", WITH_SIGMA)
@pytest.mark.parametrize(("first", "last"), [(4.0, 1.5), (1.2, 3.0)])
def test_widths_follow_the_curve(interpolation, kind, first, last):
    net = layer(interpolation)
    floor = INTERPOLATIONS[interpolation].width_floor
    for progress in (-1, 0, 0.1, 0.5, 0.9, 1, 2.5):
        anneal_width_(net, progress, first, last, kind)
        expected = curve(kind, min(max(progress, 0), 1), first, last, floor)
        torch.testing.assert_close(width_of(net), torch.full_like(net.sigma, expected))


@each_network
@pytest.mark.parametrize("change", ["anneal", "set"])
def test_every_width_that_learns_is_set_and_nothing_else(network, change):
    net = NETWORKS[network]()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    if change == "anneal":
        anneal_width_(net, 0.5, 3.0, 2.0, "linear")
    else:
        set_width_(net, 2.5)
    learning = set()
    for name, owner in position_owners(net).items():
        if owner.sigma is not None and owner.sigma.requires_grad:
            torch.testing.assert_close(width_of(owner), torch.full_like(owner.sigma, 2.5))
            learning.add(f"{name}.sigma" if name else "sigma")
    assert learning
    changed = {name for name, value in net.state_dict().items() if (value != before[name]).any()}
    wrapped = {name.replace("_orig_mod.", "").removeprefix("module.") for name in changed}
    assert wrapped == learning


REFUSED = {
    "below the floor": (layer, (0.5, 3.0, 0.2), "to_width=0.2 .*at least 0.27"),
    "geometric to the floor": (
        layer,
        (0.5, 3.0, 0.27, "geometric"),
        "to_width=0.27 .*more than 0.27",
    ),
    "below the floor of one": (
        NETWORKS["several"],
        (0.5, 3.0, 0.5),
        "to_width=0.5 is too narrow for 5: .*'triangle'.* 1.0",
    ),
    "no sigma": (lambda: layer("bilinear"), (0.5, 3.0, 1.0), "no sigma .*in Dcls2d"),
    "all frozen": (
        lambda: layer().requires_grad_(False),
        (0.5, 3.0, 1.0),
        "no sigma that is not frozen",
    ),
    "no number": (layer, ("half", 3.0, 1.0), "progress='half' must be"),
    "no width": (layer, (0.5, -3.0, 1.0), "from_width=-3.0 must be"),
    "no kind": (layer, (0.5, 3.0, 1.0, "quadratic"), "kind='quadratic' is unknown"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_and_changes_nothing(name):
    build, (*schedule,), words = REFUSED[name]
    net = build()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    if len(schedule) < 4:
        schedule.append("linear")
    with pytest.raises(ValueError, match=words):
        anneal_width_(net, *schedule)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_width_below_the_floor_cannot_be_set():
    with pytest.raises(ValueError, match=r"^width=0.2 .*at least 0.27"):
        set_width_(layer(), 0.2)
    set_width_(layer(), 0.27)
