"""A training whose backbone is replayed from graphs is the training without."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import OPTIMIZERS
from torch import nn

from helpers import cuda_graphs
from helpers.graphed import SIZE, Net, net_of
from helpers.tiny import CHANNELS, runner_of

pytestmark = pytest.mark.usefixtures("graphs")


@OPTIMIZERS.register_module()
class ZeroingSGD(torch.optim.SGD):
    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none=False)


@OPTIMIZERS.register_module()
class LateSGD(torch.optim.SGD):
    """Steps along the gradients of the step before."""

    def step(self, closure: None = None) -> None:
        parameters = [p for group in self.param_groups for p in group["params"]]
        for parameter in parameters:
            now, state = parameter.grad, self.state[parameter]
            parameter.grad, state["before"] = state.get("before"), now
        super().step()


class Sizes(Hook):
    """Images of these sizes, one an iteration, and then of the last one for ever."""

    def __init__(self, sizes: tuple[int, ...] = (SIZE,)) -> None:
        self.sizes = sizes

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        size = self.sizes[min(runner.iter, len(self.sizes) - 1)]
        generator = torch.Generator().manual_seed(runner.iter)
        images = torch.randn(2, CHANNELS, size, size, generator=generator, dtype=torch.double)
        data_batch["inputs"] = images


def trained(net: Net, folder, graphed: bool, hooks: tuple = (), sizes=(SIZE,), **options) -> Net:
    hooks = [Sizes(sizes), *hooks, *[dict(type="mmdcls.GraphedBackbone")] * graphed]
    runner = runner_of(net, folder, hooks, iterations=8, **options)
    runner.train()
    return net


def assert_same(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=1e-10, atol=1e-12)


CASES = {
    "one size": {},
    "several sizes": dict(sizes=(SIZE, SIZE, 64, SIZE, SIZE, SIZE, 64)),
    "accumulated gradients": dict(optim_wrapper=dict(accumulative_counts=3)),
    "gradients that are set to zero": dict(
        optimizer=dict(type="ZeroingSGD", lr=0.1),
        optim_wrapper=dict(clip_grad=dict(max_norm=1)),
    ),
    "gradients that an optimiser keeps": dict(optimizer=dict(type="LateSGD", lr=0.1)),
    # Decay moves what has a gradient of zero, and not what has none.
    "maps that are not trained": dict(optimizer=dict(type="AdamW", lr=0.01, weight_decay=1.0)),
    "frozen stages": dict(net=dict(frozen_stages=2)),
    "state that a pass moves": dict(net=dict(moves=True)),
    "two calls an iteration": dict(net=dict(calls=2)),
    "batch norm": dict(net=dict(norm=True)),
    "batch norm of three calls": dict(net=dict(norm=True, calls=3)),
    "a hook on gradients": dict(
        hooks=(
            dict(type="mmdcls.AnnealSigma", from_width=1.0, to_width=0.6, end=5, learnable=True),
        )
    ),
    "evaluations": dict(evaluate=True),
}


@pytest.mark.parametrize("case", CASES)
def test_the_training_is_that_without(case, device, tmp_path):
    options = copy.deepcopy(CASES[case])
    net = options.pop("net", {})
    names = net_of(device).state_dict().keys()
    plain, ours = (
        trained(net_of(device, **net), tmp_path, graphed, **copy.deepcopy(options))
        for graphed in (False, True)
    )
    assert_same(ours, plain)
    # Of the forward and of the backward pass.
    assert device.type == "cuda" or cuda_graphs.Capture.made == 2
    assert net or ours.state_dict().keys() == names
    assert "forward" not in vars(ours.backbone)
