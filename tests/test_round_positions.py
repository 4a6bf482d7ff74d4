"""Evaluation with every element on a cell, and nothing of it left afterwards."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from tiny import Plain, Tiny, batch, images, runner_of

from mmdcls.dcls import INTERPOLATIONS, construct_kernel
from mmdcls.errors import InputError

ROUND = dict(type="mmdcls.RoundPositions")


def spread_out(net: Tiny) -> Tiny:
    with torch.no_grad():
        net.stage.positions.uniform_(-3, 3)
    return net


@torch.no_grad()
def rounded_outputs(net: Tiny) -> torch.Tensor:
    """Of the first batch, from kernels that were made of rounded positions one by one."""
    dense = copy.deepcopy(net).eval()
    x = batch()["inputs"]
    for index in range(len(dense.stage)):
        block = dense.stage[index]
        owner = dense.stage if block.dwconv.positions is None else block.dwconv
        kernel = construct_kernel(
            block.dwconv.weight, owner.positions.round(), None, (7, 7), "bilinear"
        )
        conv = torch.nn.Conv2d(4, 4, 7, padding=3, groups=4)
        conv.weight.data, conv.bias.data = kernel, block.dwconv.bias
        block.dwconv = Ignoring(conv)
        x = block(x, None)
    return x


class Ignoring(torch.nn.Module):
    def __init__(self, conv: torch.nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x, shares):
        return self.conv(x)


class Fail(Hook):
    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        raise RuntimeError("in the middle of an evaluation")


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("share_positions", [True, False])
def test_evaluation_sees_whole_cells_and_the_weights_stay(tmp_path, interpolation, share_positions):
    net = Tiny(interpolation, share_positions)
    for block in range(len(net.stage)):
        owner = net.stage if share_positions else net.stage[block].dwconv
        owner.positions.data.uniform_(-3, 3)
    before = copy.deepcopy(net.state_dict())
    free = net.eval()(**batch())
    runner_of(net, tmp_path, [ROUND], evaluate=True).test()
    torch.testing.assert_close(net.seen[0], rounded_outputs(net))
    assert not torch.allclose(net.seen[0], free, rtol=1e-3)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    torch.testing.assert_close(net.eval()(**batch()), free)


def test_training_goes_on_as_if_there_had_been_no_evaluation(tmp_path):
    states = []
    for hooks in ([], [ROUND]):
        torch.manual_seed(0)
        net = spread_out(Tiny())
        runner_of(net, tmp_path, hooks, evaluate=bool(hooks), iterations=3).train()
        states.append(net.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_a_failed_evaluation_leaves_nothing(tmp_path):
    net = spread_out(Tiny())
    with pytest.raises(RuntimeError, match="in the middle"):
        runner_of(net, tmp_path, [ROUND, Fail()], evaluate=True).train()
    before = net.stage.positions.detach().clone()
    runner = runner_of(net, tmp_path, [ROUND], iterations=1)
    runner.train()
    assert not net.stage.on_cells
    assert not torch.equal(before, before.round())


@pytest.mark.parametrize("update_buffers", [False, True])
def test_averaged_weights_are_what_is_rounded_and_what_is_saved(tmp_path, update_buffers):
    torch.manual_seed(0)
    net = spread_out(Tiny())
    average = dict(type="EMAHook", momentum=0.5, update_buffers=update_buffers)
    rate = dict(type="SGD", lr=0.5)
    runner = runner_of(
        net, tmp_path, [ROUND, average], evaluate=True, iterations=3, save_every=3, optimizer=rate
    )
    runner.train()
    saved = torch.load(tmp_path / "iter_3.pth", weights_only=True)
    averaged = Tiny()
    averaged.load_state_dict(saved["state_dict"])
    assert not torch.equal(averaged.stage.positions, averaged.stage.positions.round())
    assert not torch.equal(averaged.stage.positions, net.stage.positions)
    # Two batches in every validation; the first of the last one.
    torch.testing.assert_close(net.seen[-len(images()) // 2], rounded_outputs(averaged))


def test_a_model_without_positions_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"mmdcls.RoundPositions .*Plain has none"):
        runner_of(Plain(), tmp_path, [ROUND], evaluate=True).test()
