"""Evaluation on whole cells: the same as of a rounded model, and nothing of it stays behind."""

import copy

import pytest
import torch

from helpers.tiny import Plain, Tiny, batch, runner_of
from mmdcls.dcls import position_owners
from mmdcls.errors import InputError

ROUND = dict(type="mmdcls.RoundPositions")


class Remembering(Tiny):
    """Keeps, for every evaluation, its state; `fails` makes evaluations raise."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.states: list[dict] = []
        self.fails = False

    def forward(self, inputs, data_samples=None, mode="tensor"):
        if mode == "predict":
            self.states.append(copy.deepcopy(self.state_dict()))
            if self.fails:
                raise OSError("disk on fire")
        return super().forward(inputs, data_samples, mode)


def rounded_output(state: dict, inputs: torch.Tensor, **options) -> torch.Tensor:
    """Of a triangle of unit width at rounded positions, as published."""
    net = Tiny("triangle", **options).eval()
    net.load_state_dict(state)
    with torch.no_grad():
        for owner in position_owners(net).values():
            owner.positions.round_()
            owner.sigma.zero_()
        return net(inputs)


@pytest.mark.parametrize("share_positions", [True, False])
@pytest.mark.parametrize("ema", [[], [dict(type="EMAHook", momentum=0.1)]], ids=["", "EMA"])
def test_validation_and_test_see_whole_cells_and_training_does_not(tmp_path, ema, share_positions):
    def trained(hooks: list[dict]) -> Remembering:
        torch.manual_seed(0)
        net = Remembering(share_positions=share_positions)
        runner = runner_of(net, tmp_path, hooks, iterations=3, evaluate=True)
        runner.train()
        runner.test()
        return net

    plain, net = trained(ema), trained([ROUND, *ema])
    assert len(net.seen) == len(net.states) == 2 * 4
    inputs = [batch(4)["inputs"][:2], batch(4)["inputs"][2:]]
    for index, (output, state) in enumerate(zip(net.seen, net.states, strict=True)):
        # Weights are exact while they are evaluated, and those of a run without rounding.
        for name, value in plain.states[index].items():
            assert torch.equal(state[name], value), name
        expected = rounded_output(state, inputs[index % 2], share_positions=share_positions)
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(output, plain.seen[index])
    for name, value in plain.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name
    with torch.no_grad():
        assert torch.equal(net(**batch()), plain(**batch()))


def test_a_checkpoint_saved_by_an_evaluation_is_exact(tmp_path):
    net = Remembering()
    runner_of(net, tmp_path, [ROUND], iterations=2, evaluate=True, save_every=1).train()
    for number in (1, 2):
        file = tmp_path / f"iter_{number}.pth"
        saved = torch.load(file, weights_only=True)["state_dict"]
        assert (saved["stage.positions"] != saved["stage.positions"].round()).any()


def test_an_evaluation_that_fails_leaves_weights_as_they_are_and_training_exact(tmp_path):
    net = Remembering()
    net.fails = True
    runner = runner_of(net, tmp_path / "first", [ROUND], evaluate=True)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(OSError, match="on fire"):
        runner.val()
    for name, value in before.items():
        assert torch.equal(net.state_dict()[name], value), name
    other = Tiny()
    other.load_state_dict(before)
    net.fails = False
    for number, model in enumerate((net, other)):
        hooks = [ROUND] if model is net else []
        runner_of(model, tmp_path / f"again{number}", hooks, iterations=2).train()
    for name, value in other.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name


def test_what_a_control_has_put_on_cells_stays_there(tmp_path):
    net = Remembering()
    owners = list(position_owners(net).values())
    owners[0].on_cells = True
    expected = [owner.on_cells for owner in owners]
    seen = []
    forward = net.forward

    def watched(inputs, data_samples=None, mode="tensor"):
        seen.append((mode, [owner.on_cells for owner in owners]))
        return forward(inputs, data_samples, mode)

    net.forward = watched
    runner = runner_of(net, tmp_path, [ROUND], iterations=2, evaluate=True)
    runner.train()
    runner.test()
    assert {mode for mode, _ in seen} == {"loss", "predict"}
    for mode, on_cells in seen:
        assert on_cells == (expected if mode == "loss" else [True] * len(owners))
    assert [owner.on_cells for owner in owners] == expected


def test_a_model_without_positions_is_refused(tmp_path):
    runner = runner_of(Plain(), tmp_path, [ROUND], evaluate=True)
    with pytest.raises(InputError, match=r"mmdcls.RoundPositions .*Plain has none"):
        runner.val()
