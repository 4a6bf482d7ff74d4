"""The term of the loss: in the log, from where it begins, and the same however it is trained."""

import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from helpers.tiny import CHANNELS, Plain, Tiny, batch, logged, runner_of, wrapper
from mmdcls.dcls import position_owners, repulsion
from mmdcls.errors import InputError

WEIGHT = 3.0


def hook_of(**options):
    return HOOKS.build(dict(type="mmdcls.Repulsion", **options))


def repelled(net, **options):
    """The hook at work on the model, as a Runner has it in its first iteration."""
    hook = hook_of(**options)
    runner = SimpleNamespace(model=net, iter=0, epoch=0, train_loop=None, max_iters=1)
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    return hook, runner


def term_of(net):
    owners = position_owners(net).values()
    return (sum(repulsion(owner.positions) for owner in owners) / len(owners)) ** 2


def gradients_of(net, loss):
    owners = position_owners(net).values()
    return torch.autograd.grad(loss, [owner.positions for owner in owners])


def trained_positions(net, data=None, steps=1, **options):
    """The gradients of positions after an update of this many steps."""
    found = wrapper(net, **options)
    with found.optim_context(net):
        for _ in range(steps):
            losses = net(**(data or batch()), mode="loss")
            loss, _ = net.parse_losses(losses)
            found.backward(found.scale_loss(loss))
    return [owner.positions.grad for owner in position_owners(net).values()]


class Silent(Tiny):
    """A task without gradient, so that the term is alone."""

    def forward(self, inputs, data_samples=None, mode="tensor"):
        output = super().forward(inputs, data_samples, mode)
        return {k: 0 * v for k, v in output.items()} if mode == "loss" else output


@pytest.mark.parametrize("share_positions", [True, False])
def test_the_term_is_the_square_of_the_mean_over_owners(share_positions):
    net = Tiny(share_positions=share_positions)
    assert len(position_owners(net)) == (1 if share_positions else 2)
    plain = net(**batch(), mode="loss")
    hook, runner = repelled(net, weight=WEIGHT)
    losses = net(**batch(), mode="loss")
    torch.testing.assert_close(losses["loss_repulsion"], WEIGHT * term_of(net))
    assert losses["loss_square"] == plain["loss_square"]
    total, log = net.parse_losses(losses)
    torch.testing.assert_close(total, plain["loss_square"] + WEIGHT * term_of(net))
    assert "loss_repulsion" in log
    for mode in ("tensor", "predict"):
        assert not isinstance(net(**batch(), mode=mode), dict)
    hook.after_train(runner)
    assert set(net(**batch(), mode="loss")) == {"loss_square"}


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_an_update_has_the_gradient_of_the_term_once_however_many_steps_it_takes(steps):
    net = Silent()
    expected = gradients_of(net, WEIGHT * term_of(net))
    repelled(net, weight=WEIGHT)
    found = trained_positions(net, steps=steps, accumulative_counts=steps)
    assert all(gradient.abs().max() > 0 for gradient in found)
    torch.testing.assert_close(found, list(expected))


@pytest.mark.parametrize("share_positions", [True, False])
def test_mixed_precision_leaves_the_gradient_of_the_term_as_it_is(share_positions):
    net = Silent(share_positions=share_positions)
    expected = gradients_of(net, WEIGHT * term_of(net))
    repelled(net, weight=WEIGHT)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(**batch(), mode="loss")["loss_repulsion"].dtype == torch.float32
    found = trained_positions(net, type="mmdcls.AmpOptimWrapper")
    # Equal but for rounding in the last place: powers and divisions are not in the same order.
    torch.testing.assert_close(found, list(expected), rtol=1e-6, atol=1e-9)


def test_a_scaled_loss_gives_the_scaled_gradient():
    net = Silent()
    (expected,) = gradients_of(net, WEIGHT * term_of(net))
    repelled(net, weight=WEIGHT)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loss, _ = net.parse_losses(net(**batch(), mode="loss"))
    scaler.scale(loss).backward()
    torch.testing.assert_close(net.stage.positions.grad, 2.0**16 * expected)
    scaler.unscale_(optimizer)
    torch.testing.assert_close(net.stage.positions.grad, expected)


def process(rank: int, file: str, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{file}", rank=rank, world_size=2)
    torch.manual_seed(0)
    net = Tiny()
    model = MMDistributedDataParallel(net, device_ids=None)
    repelled(model, weight=WEIGHT)
    part = batch(4)["inputs"][2 * rank : 2 * rank + 2]
    found = wrapper(model)
    found.zero_grad = lambda: None
    log = model.train_step(dict(inputs=part), found)
    torch.save((net.stage.positions.grad, log["loss_repulsion"]), f"{folder}/{rank}.pth")
    # Taking a model and its group apart while gloo's threads live can wait for ever.
    torch.distributed.barrier()
    os._exit(0)


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_both_their_batches(tmp_path):
    arguments = (str(tmp_path / "meet"), str(tmp_path))
    torch.multiprocessing.spawn(process, arguments, nprocs=2)
    torch.manual_seed(0)
    net = Tiny()
    term = WEIGHT * term_of(net)
    repelled(net, weight=WEIGHT)
    (expected,) = trained_positions(net, batch(4))
    assert expected.shape == (2, CHANNELS, 1, 5)
    for rank in range(2):
        found, logged_term = torch.load(tmp_path / f"{rank}.pth", weights_only=True)
        # Gradients of a single step: sums in another order, which nothing amplifies.
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(logged_term, term.detach())


@pytest.mark.parametrize("by_epoch", [False, True])
@pytest.mark.parametrize("resumed", [False, True])
def test_the_log_shows_it_from_where_it_begins(tmp_path, by_epoch, resumed):
    hook = dict(type="mmdcls.Repulsion", begin=2, by_epoch=by_epoch)
    options = dict(by_epoch=by_epoch, save_every=1)
    if resumed:
        runner_of(Tiny(), tmp_path / "first", [hook], iterations=1, **options).train()
        assert not any("loss_repulsion" in line for line in logged(tmp_path / "first"))
        name = "epoch_1.pth" if by_epoch else "iter_1.pth"
        options |= dict(resume=True, load_from=str(tmp_path / "first" / name))
    runner_of(Tiny(), tmp_path / "second", [hook], iterations=4, **options).train()
    per_unit = 2 if by_epoch else 1
    expected = ([False] * 2 + [True] * 2)[1 if resumed else 0 :]
    lines = logged(tmp_path / "second")
    shown = ["loss_repulsion" in line for line in lines]
    assert shown == [value for value in expected for _ in range(per_unit)]
    for line in lines:
        parts = line["loss_square"] + line.get("loss_repulsion", 0)
        assert line["loss"] == pytest.approx(parts)


def test_it_spreads_elements_that_a_task_does_not(tmp_path):
    def crowding(hooks: list[dict]) -> float:
        torch.manual_seed(0)
        net = Silent()
        start = repulsion(net.stage.positions).item()
        rate = dict(type="SGD", lr=5.0)
        runner_of(net, tmp_path, hooks, iterations=30, optimizer=rate).train()
        return repulsion(net.stage.positions).item() / start

    assert crowding([]) == 1
    assert crowding([dict(type="mmdcls.Repulsion"), dict(type="mmdcls.ClampPositions")]) < 0.7


def test_a_model_without_positions_is_refused():
    with pytest.raises(InputError, match=r"mmdcls.Repulsion .*Plain has none"):
        repelled(Plain())


def test_epochs_of_a_loop_without_epochs_are_refused(tmp_path):
    runner: Runner = runner_of(Tiny(), tmp_path, [dict(type="mmdcls.Repulsion", by_epoch=True)])
    with pytest.raises(InputError, match="by_epoch=True.*IterBasedTrainLoop"):
        runner.train()
