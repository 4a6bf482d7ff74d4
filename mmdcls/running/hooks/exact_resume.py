import random

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdcls.errors import InputError
from mmdcls.registry import HOOKS
from mmdcls.running.passing_over import is_by_iterations, pass_over_trained
from mmdcls.wrapping import unwrapped

KEY = "random_states"
GRADIENTS = "accumulated_gradients"


def random_states() -> dict:
    """The states of Python's, numpy's and torch's generators, as tensors and plain numbers."""
    version, python, normal = random.getstate()
    kind, numpy, position, has_normal, numpy_normal = np.random.get_state()
    return dict(
        python=[version, list(python), normal],
        numpy=[kind, numpy.tolist(), int(position), int(has_normal), float(numpy_normal)],
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state_all(),
    )


def set_random_states(states: dict) -> None:
    version, python, normal = states["python"]
    random.setstate((version, tuple(python), normal))
    kind, numpy, *others = states["numpy"]
    np.random.set_state((kind, np.array(numpy, np.uint32), *others))
    # To resume, a Runner loads every tensor to its device.
    torch.set_rng_state(states["torch"].cpu())
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state.cpu(), device)


def refuse_middle_of_epoch(runner: Runner, checkpoint: dict) -> None:
    loop, done = runner.train_loop, checkpoint["meta"]["iter"]
    if not is_by_iterations(loop) and done % len(loop.dataloader):
        raise InputError(
            f"mmdcls.ExactResume cannot go on from iteration {done}, in the middle of an epoch of "
            f"{len(loop.dataloader)}, which {type(loop).__name__} would begin anew: resume from a "
            f"checkpoint of an epoch's end, train with IterBasedTrainLoop, or leave the hook out."
        )


@HOOKS.register_module()
class ExactResume(Hook):
    """Random states in every checkpoint: a resumed run draws what it would have drawn.

    On one process with num_workers=0 and `randomness=dict(seed=...)` it equals the uninterrupted
    run bit for bit. Gradients that were accumulated and not yet used are in the checkpoint too.
    Validation leaves the states as it found them. With several processes nothing is restored: only
    the first writes.

    Raises InputError without a seed, and for a checkpoint from the middle of an epoch, which a loop
    of epochs would begin anew.
    """

    def __init__(self) -> None:
        self.states: dict | None = None  # to be restored
        self.before_validation: dict | None = None

    def before_run(self, runner: Runner) -> None:
        if runner.cfg.get("randomness", {}).get("seed") is None:
            raise InputError(
                "mmdcls.ExactResume needs a seed, which orders the data: set randomness.seed=0."
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint[KEY] = self.before_validation or random_states()
        parameters = unwrapped(runner.model).named_parameters()
        gradients = {name: p.grad for name, p in parameters if p.grad is not None}
        if gradients:
            checkpoint[GRADIENTS] = gradients

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume:
            return
        self.states = checkpoint.get(KEY)
        if self.states is None or get_world_size() > 1:
            why = "the checkpoint has none" if self.states is None else "there are many processes"
            runner.logger.warning(f"mmdcls.ExactResume restores no random states: {why}.")
            self.states = None
            return
        refuse_middle_of_epoch(runner, checkpoint)
        parameters = dict(unwrapped(runner.model).named_parameters())
        for name, gradient in checkpoint.get(GRADIENTS, {}).items():
            parameters[name].grad = gradient.to(parameters[name])
        if GRADIENTS in checkpoint:
            runner.logger.info(
                "mmdcls.ExactResume restores the gradients that were accumulated: what mmengine "
                "says of lost ones does not hold."
            )

    def before_train_epoch(self, runner: Runner) -> None:
        if self.states is None:
            return
        if is_by_iterations(runner.train_loop):
            pass_over_trained(runner.train_loop)
        set_random_states(self.states)
        self.states = None

    def before_val(self, runner: Runner) -> None:
        self.before_validation = random_states()

    def after_val(self, runner: Runner) -> None:
        set_random_states(self.before_validation)
        self.before_validation = None
