"""The width that training prescribes: its curves, its span, and what the optimiser may do."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from tiny import Plain, Tiny, runner_of

from mmdcls.dcls import INTERPOLATIONS, position_owners
from mmdcls.engine.anneal_sigma import CURVES
from mmdcls.errors import InputError

FLOOR = INTERPOLATIONS["gaussian"].width_floor
WIDE, NARROW = 3.0, 0.5
each_kind = pytest.mark.parametrize("kind", CURVES)


def config(**options) -> dict:
    given = dict(from_width=WIDE, to_width=NARROW, end=4) | options
    return dict(type="mmdcls.AnnealSigma", **given)


class Watch(Hook):
    """Keeps the sigma that every forward pass uses."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        (owner,) = position_owners(runner.model).values()
        self.seen.append(owner.sigma.detach().clone())


def widths(watch: Watch) -> list[float]:
    """One width for all elements of every iteration."""
    for sigma in watch.seen:
        assert (sigma == sigma.flatten()[0]).all()
    return [sigma.flatten()[0].item() + FLOOR for sigma in watch.seen]


def train(folder, hook: dict, **options) -> tuple[Watch, Tiny]:
    torch.manual_seed(0)
    watch, net = Watch(), Tiny()
    runner_of(net, folder, [hook, watch], **options).train()
    return watch, net


# Data set of arXiv 2306.17670, kernel size, epochs of annealing, and the factor of every epoch.
DELAYS = [("SHD", 25, 37, 0.8986), ("SSC", 31, 15, 0.7569), ("GSC", 31, 25, 0.8461)]


@pytest.mark.parametrize("name, size, epochs, factor", DELAYS)
def test_the_published_delay_recipe_is_geometric(name, size, epochs, factor):
    hook = HOOKS.build(config(from_width=size // 2 + FLOOR, to_width=0.23 + FLOOR, end=epochs))
    sigma = [hook.sigma_at(epoch, "gaussian") for epoch in range(epochs + 1)]
    assert sigma[0] == pytest.approx(size // 2) and sigma[-1] == pytest.approx(0.23)
    for before, after in zip(sigma, sigma[1:], strict=False):
        assert after / before == pytest.approx(factor, abs=5e-5)


@each_kind
@pytest.mark.parametrize("first, last", [(WIDE, NARROW), (NARROW, WIDE)])
def test_curves_lead_from_one_width_to_the_other_and_stay(kind, first, last):
    hook = HOOKS.build(config(from_width=first, to_width=last, begin=3, end=11, kind=kind))
    found = [hook.sigma_at(time, "gaussian") + FLOOR for time in range(20)]
    assert found[:4] == pytest.approx([first] * 4)
    assert found[11:] == pytest.approx([last] * 9)
    steps = [b - a for a, b in zip(found[3:12], found[4:12], strict=False)]
    assert all(step * (last - first) > 0 for step in steps)


def test_linear_and_cosine_are_half_way_in_the_middle():
    for kind in ("linear", "cosine"):
        hook = HOOKS.build(config(kind=kind, end=10))
        assert hook.sigma_at(5, "gaussian") + FLOOR == pytest.approx((WIDE + NARROW) / 2)


@each_kind
@pytest.mark.parametrize("by_epoch", [False, True])
def test_every_forward_pass_has_the_width_of_its_time(tmp_path, kind, by_epoch):
    hook = config(kind=kind, by_epoch=by_epoch, begin=1)
    watch, _ = train(tmp_path, hook, iterations=6, by_epoch=by_epoch)
    schedule = HOOKS.build(hook)
    per_unit = 2 if by_epoch else 1
    expected = [
        schedule.sigma_at(time, "gaussian") + FLOOR for time in range(6) for _ in range(per_unit)
    ]
    assert widths(watch) == pytest.approx(expected)


@each_kind
def test_a_resumed_run_has_the_widths_of_one_that_was_not_interrupted(tmp_path, kind):
    straight, net = train(tmp_path / "straight", config(kind=kind), iterations=6)
    train(tmp_path / "cut", config(kind=kind), iterations=3, save_every=1)
    resumed, again = train(tmp_path / "cut", config(kind=kind), iterations=6, resume=True)
    assert len(resumed.seen) == 3
    assert all(map(torch.equal, straight.seen[3:], resumed.seen))
    assert torch.equal(net.stage.sigma, again.stage.sigma)


def test_the_optimiser_moves_sigma_after_the_end_only_if_it_is_learnable(tmp_path):
    for learnable in (False, True):
        # Momentum would go on moving what once had a gradient.
        rate = dict(type="SGD", lr=1.0, momentum=0.9)
        hook = config(end=2, learnable=learnable)
        watch, net = train(tmp_path, hook, iterations=5, optimizer=rate)
        moved = (net.stage.sigma + FLOOR - NARROW).abs().max() > 1e-6
        assert moved == learnable
        held = watch.seen[:3]
        assert all((sigma == sigma.flatten()[0]).all() for sigma in held)


@pytest.mark.parametrize("interpolation", [k for k, v in INTERPOLATIONS.items() if v.has_sigma])
@pytest.mark.parametrize("name", ["from_width", "to_width"])
def test_a_width_below_the_floor_is_refused(tmp_path, interpolation, name):
    floor = INTERPOLATIONS[interpolation].width_floor
    given = dict(from_width=2.0, to_width=2.0) | {name: floor / 2}
    runner = runner_of(Tiny(interpolation), tmp_path, [config(**given)])
    with pytest.raises(InputError, match=f"{name}=.*{interpolation}.*{floor}"):
        runner.train()


def test_models_without_sigma_are_refused(tmp_path):
    with pytest.raises(InputError, match="mmdcls.AnnealSigma finds no sigma.*'gaussian'"):
        runner_of(Tiny("bilinear"), tmp_path, [config()]).train()
    with pytest.raises(InputError, match=r"mmdcls.AnnealSigma .*Plain has none"):
        runner_of(Plain(), tmp_path, [config()]).train()


def test_frozen_sigma_stays_what_it_is(tmp_path):
    net = Tiny()
    net.stage.sigma.requires_grad_(False)
    with pytest.raises(InputError, match="not frozen"):
        runner_of(net, tmp_path, [config()]).train()
