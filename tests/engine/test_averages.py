"""mmengine's EMAHook: a shared position is averaged once, after clamping."""

import pytest
import torch

from helpers.tiny import SIZE, Tiny, runner_of
from mmdcls.dcls import position_limits

MOMENTUM = 0.25


class Recording(Tiny):
    """Keeps the parameters that the forward passes of training had."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.used: list[list[torch.Tensor]] = []

    def forward(self, inputs, data_samples=None, mode="tensor"):
        if mode == "loss":
            self.used.append([parameter.detach().clone() for parameter in self.parameters()])
        return super().forward(inputs, data_samples, mode)


def averaged(net, work_dir, hooks, rate=0.5, iterations=5, **options):
    """The average that EMAHook keeps after these iterations."""
    ema = dict(type="EMAHook", momentum=MOMENTUM, **options)
    optimizer = dict(type="SGD", lr=rate)
    runner = runner_of(net, work_dir, [ema, *hooks], iterations=iterations, optimizer=optimizer)
    runner.train()
    (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == "EMAHook")
    return hook.ema_model.module


@pytest.mark.parametrize("update_buffers", [False, True])
@pytest.mark.parametrize("share_positions", [True, False])
def test_every_parameter_is_averaged_once(tmp_path, update_buffers, share_positions):
    net = Recording(share_positions=share_positions)
    found = averaged(net, tmp_path, [], update_buffers=update_buffers)
    # What an iteration left is what the next one used; the first average copies. The averages are
    # made of one training's weights, so that only the rounding of a few sums is between them.
    after = [*net.used[1:], [parameter.detach() for parameter in net.parameters()]]
    for index, (name, average) in enumerate(found.named_parameters()):
        expected = after[0][index]
        assert not torch.equal(expected, after[-1][index]), name
        for state in after[1:]:
            expected = torch.lerp(expected, state[index], MOMENTUM)
        torch.testing.assert_close(average.detach(), expected, msg=name)


@pytest.mark.parametrize("update_buffers", [False, True])
def test_averages_are_of_clamped_positions(tmp_path, update_buffers):
    def extent(hooks: list[dict]) -> float:
        torch.manual_seed(0)
        net = Tiny()
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(name.endswith("positions"))
        found = averaged(net, tmp_path, hooks, rate=1e4, update_buffers=update_buffers)
        return found.stage.positions.abs().max().item()

    low, high = position_limits(SIZE)
    assert extent([]) > high
    # Listed after EMAHook; the priorities decide.
    assert extent([dict(type="mmdcls.ClampPositions")]) <= high == -low
