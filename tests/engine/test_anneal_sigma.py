"""Widths follow the schedule, whatever the optimiser wants and wherever a run was interrupted."""

import math

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from torch import nn

from helpers.tiny import Plain, Tiny, runner_of
from mmdcls.dcls import INTERPOLATIONS
from mmdcls.dcls import WIDTH_CURVES as CURVES
from mmdcls.errors import InputError

GAUSSIAN = INTERPOLATIONS["gaussian"].width_floor
WIDE, NARROW = 3.0, 0.5
each_kind = pytest.mark.parametrize("kind", CURVES)
each_unit = pytest.mark.parametrize("by_epoch", [False, True])


def hook_of(**options):
    options = dict(from_width=WIDE, to_width=NARROW, end=4) | options
    return HOOKS.build(dict(type="mmdcls.AnnealSigma", **options))


def widths(hook, times, interpolation="gaussian"):
    floor = INTERPOLATIONS[interpolation].width_floor
    return [hook.sigma_at(time, interpolation) + floor for time in times]


@pytest.mark.parametrize(
    ("size", "epochs", "factor"), [(25, 37, 0.8986), (31, 15, 0.7569), (31, 25, 0.8461)]
)
def test_the_geometric_kind_is_the_published_schedule_of_delays(size, epochs, factor):
    """Sigma from half the kernel to 0.23, by the same factor every epoch."""
    wide = size // 2 + GAUSSIAN
    hook = hook_of(from_width=wide, end=epochs, by_epoch=True)
    sigma = [hook.sigma_at(epoch, "gaussian") for epoch in range(epochs + 1)]
    assert sigma[0] == pytest.approx(size // 2) and sigma[-1] == pytest.approx(0.23)
    for one, two in zip(sigma, sigma[1:], strict=False):
        assert two / one == pytest.approx(factor, abs=5e-5)


@each_kind
@pytest.mark.parametrize("interpolation", ["gaussian", "triangle"])
@pytest.mark.parametrize(("first", "last"), [(4.0, 1.5), (1.5, 4.0)])
def test_widths_go_from_one_to_the_other_and_stay(kind, interpolation, first, last):
    hook = hook_of(from_width=first, to_width=last, begin=3, end=11, kind=kind)
    found = widths(hook, range(20), interpolation)
    assert found[:4] == [pytest.approx(first)] * 4 and found[11:] == [pytest.approx(last)] * 9
    steps = [(b - a) * (last - first) for a, b in zip(found[3:11], found[4:12], strict=True)]
    assert min(steps) > 0
    middle = {
        "linear": (first + last) / 2,
        "cosine": (first + last) / 2,
        "geometric": math.sqrt(
            (first - INTERPOLATIONS[interpolation].width_floor)
            * (last - INTERPOLATIONS[interpolation].width_floor)
        )
        + INTERPOLATIONS[interpolation].width_floor,
    }
    assert found[7] == pytest.approx(middle[kind])
    if kind == "cosine":
        quarter = last + (first - last) * (1 + math.cos(math.pi / 4)) / 2
        assert found[5] == pytest.approx(quarter)


class Seeing(Tiny):
    """Keeps the widths that forward passes of training had."""

    def __init__(self) -> None:
        super().__init__()
        self.used: list[float] = []

    def forward(self, inputs, data_samples=None, mode="tensor"):
        if mode == "loss":
            (width,) = (self.stage.sigma.detach().abs() + GAUSSIAN).unique().tolist()
            self.used.append(width)
        return super().forward(inputs, data_samples, mode)


@each_kind
@each_unit
def test_every_forward_pass_has_the_width_of_its_iteration_also_after_resuming(
    tmp_path, kind, by_epoch
):
    options = dict(begin=1, end=4, kind=kind, by_epoch=by_epoch)
    settings = dict(type="mmdcls.AnnealSigma", from_width=WIDE, to_width=NARROW, **options)
    rule = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9), by_epoch=by_epoch, save_every=1)
    expected = widths(hook_of(**options), range(6))
    expected = [width for width in expected for _ in range(2 if by_epoch else 1)]
    whole = Seeing()
    runner_of(whole, tmp_path / "whole", [settings], iterations=6, **rule).train()
    assert whole.used == pytest.approx(expected)
    half = Seeing()
    unit = "epoch" if by_epoch else "iter"
    resume = dict(resume=True, load_from=str(tmp_path / "whole" / f"{unit}_3.pth"))
    runner_of(half, tmp_path / "half", [settings], iterations=6, **rule, **resume).train()
    assert half.used == whole.used[len(whole.used) // 2 :]
    assert torch.equal(half.stage.sigma, whole.stage.sigma)


def trained_sigma(work_dir, iterations, net: BaseModel | None = None, **options):
    net = net or Tiny()
    settings = dict(type="mmdcls.AnnealSigma", from_width=WIDE, to_width=NARROW, end=3) | options
    runner_of(net, work_dir, [settings], iterations=iterations).train()
    return net.stage.sigma.detach()


def test_until_the_end_the_optimiser_leaves_sigma_alone_and_then_may_move_it(tmp_path):
    for learnable in (False, True):
        sigma = trained_sigma(tmp_path, 3, learnable=learnable)
        last = hook_of(end=3, learnable=learnable).sigma_at(2, "gaussian")
        torch.testing.assert_close(sigma, torch.full_like(sigma, last))
    sigma = trained_sigma(tmp_path, 6)
    torch.testing.assert_close(sigma, torch.full_like(sigma, NARROW - GAUSSIAN))
    sigma = trained_sigma(tmp_path, 6, learnable=True)
    assert (sigma != NARROW - GAUSSIAN).all()


def test_a_learning_sigma_resumes_from_what_it_had_learned(tmp_path):
    options = dict(from_width=WIDE, to_width=NARROW, end=2, learnable=True)
    settings = dict(type="mmdcls.AnnealSigma", **options)
    torch.manual_seed(0)
    whole, half = Tiny(), Tiny()
    runner_of(whole, tmp_path / "whole", [settings], iterations=8, save_every=4).train()
    resume = dict(resume=True, load_from=str(tmp_path / "whole" / "iter_4.pth"))
    runner_of(half, tmp_path / "half", [settings], iterations=8, **resume).train()
    assert whole.stage.sigma.unique().numel() > 1
    # The same operations on the same numbers: on any processor the same bits.
    assert torch.equal(half.stage.sigma, whole.stage.sigma)


def test_a_held_sigma_does_not_count_in_gradient_clipping():
    net = Tiny()
    hook = hook_of(end=2, learnable=True)
    hook._owners = [net.stage]
    net.stage.sigma.register_hook(hook.hold)
    for time, moves in ((0, False), (1, False), (2, True), (3, True)):
        hook.follow(time)
        net.zero_grad()
        net(torch.randn(2, 4, 6, 6)).square().sum().backward()
        assert bool((net.stage.sigma.grad != 0).any()) == moves
        assert (net.stage.positions.grad != 0).all()


def test_frozen_sigma_stays_and_every_owner_has_its_own_floor(tmp_path):
    class Mixed(Tiny):
        def __init__(self):
            super().__init__()
            self.others = nn.ModuleList([Tiny("triangle"), Tiny(), Tiny("bilinear")])
            self.others[1].requires_grad_(False)

        def forward(self, inputs, data_samples=None, mode="tensor"):
            for other in self.others:
                inputs = other(inputs)
            return super().forward(inputs, data_samples, mode)

    net = Mixed()
    settings = dict(type="mmdcls.AnnealSigma", from_width=3.0, to_width=2.0, end=2)
    runner_of(net, tmp_path, [settings], iterations=4).train()
    assert (net.stage.sigma == torch.tensor(2.0 - GAUSSIAN)).all()
    assert (net.others[0].stage.sigma == 1.0).all()
    assert (net.others[1].stage.sigma == INTERPOLATIONS["gaussian"].initial_sigma).all()


def test_two_schedules_of_one_model_are_refused(tmp_path):
    hooks = [hook_of(end=2), hook_of(from_width=NARROW, to_width=0.3, begin=2, end=4)]
    with pytest.raises(InputError, match="more than once"):
        runner_of(Tiny(), tmp_path, hooks).train()


def test_averages_are_of_the_widths_that_were_used(tmp_path):
    net = Tiny()
    ema = dict(type="EMAHook", momentum=0.25)
    runner = runner_of(
        net,
        tmp_path,
        [ema, dict(type="mmdcls.AnnealSigma", from_width=WIDE, to_width=NARROW, end=3)],
        iterations=5,
    )
    runner.train()
    used = [hook_of(end=3).sigma_at(time, "gaussian") for time in range(5)]
    average = used[0]  # the first update of an average copies
    for sigma in used[1:]:
        average = 0.75 * average + 0.25 * sigma
    (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == "EMAHook")
    found = hook.ema_model.module.stage.sigma
    torch.testing.assert_close(found, torch.full_like(found, average))


REFUSED = {
    "below the floor": (Tiny, dict(to_width=0.2), r"to_width=0.2 .*at least 0.27"),
    "geometric to the floor": (
        Tiny,
        dict(to_width=GAUSSIAN, kind="geometric"),
        r"to_width=0.27 .*more than 0.27",
    ),
    "below another floor": (lambda: Tiny("triangle"), {}, r"to_width=0.5 .*'triangle'.* 1.0"),
    "no sigma": (lambda: Tiny("bilinear"), {}, r"no sigma .*interpolation='gaussian'"),
    "no positions": (Plain, {}, r"mmdcls.AnnealSigma .*Plain has none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_the_model_is_refused(tmp_path, name):
    model, options, words = REFUSED[name]
    if "kind" not in options:
        options = dict(kind="linear") | options
    with pytest.raises(InputError, match=words):
        trained_sigma(tmp_path, 1, model(), **options)


def test_linear_and_cosine_reach_the_floor():
    for kind in ("linear", "cosine"):
        assert widths(hook_of(to_width=GAUSSIAN, kind=kind), [4]) == [GAUSSIAN]
