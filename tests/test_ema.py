"""mmengine's EMAHook averages positions that blocks share once, and after the clamp."""

import pytest
import torch
from mmengine.hooks import Hook
from tiny import Tiny, runner_of

MOMENTUM = 0.25


class Follow(Hook):
    """Averages by the formula, from what the optimiser and the clamp left."""

    priority = "LOWEST"

    def before_train(self, runner) -> None:
        self.average = {name: p.detach().clone() for name, p in runner.model.named_parameters()}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        for name, parameter in runner.model.named_parameters():
            # mmengine's first step copies.
            momentum = MOMENTUM if batch_idx else 1.0
            self.average[name] += momentum * (parameter.detach() - self.average[name])


@pytest.mark.parametrize("share_positions", [True, False])
@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
@pytest.mark.parametrize("update_buffers", [False, True])
def test_an_average_is_that_of_the_formula(
    tmp_path, update_buffers, interpolation, share_positions
):
    torch.manual_seed(0)
    net, follow = Tiny(interpolation, share_positions), Follow()
    average = dict(type="EMAHook", momentum=MOMENTUM, update_buffers=update_buffers)
    runner = runner_of(
        net, tmp_path, [average, follow], iterations=5, optimizer=dict(type="SGD", lr=0.5)
    )
    runner.train()
    (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == "EMAHook")
    found = dict(hook.ema_model.module.named_parameters())
    assert found.keys() == follow.average.keys()
    assert ("stage.positions" in found) == share_positions
    for name, value in follow.average.items():
        torch.testing.assert_close(found[name], value, msg=name)
        assert not torch.equal(value, dict(net.named_parameters())[name])


@pytest.mark.parametrize("update_buffers", [False, True])
def test_averages_are_taken_of_clamped_positions(tmp_path, update_buffers):
    torch.manual_seed(0)
    net = Tiny("bilinear")
    average = dict(type="EMAHook", momentum=MOMENTUM, update_buffers=update_buffers)
    # A rate at which the optimiser throws elements far out of the kernel.
    options = dict(iterations=5, optimizer=dict(type="SGD", lr=1e5))
    net.stage.positions.register_hook(torch.sign)
    runner = runner_of(net, tmp_path, [average, dict(type="mmdcls.ClampPositions")], **options)
    runner.train()
    (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == "EMAHook")
    assert hook.ema_model.module.stage.positions.abs().max() <= 3
    assert (net.stage.positions.abs() == 3).any()
