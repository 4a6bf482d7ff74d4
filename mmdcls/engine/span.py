"""What part of training a hook is for, counted in iterations or in epochs, from 0."""

import logging

from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop, Runner

from mmdcls.errors import InputError


def now(runner: Runner, by_epoch: bool) -> int:
    return runner.epoch if by_epoch else runner.iter


def check_span(piece: str, runner: Runner, by_epoch: bool) -> None:
    """Raises InputError where epochs are to be counted and there are none."""
    if by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
        raise InputError(
            f"{piece} has by_epoch=True, and IterBasedTrainLoop knows no epochs; count in "
            f"iterations, with by_epoch=False."
        )


def warn_of_end(option: str, needed: int, runner: Runner, by_epoch: bool, lost: str) -> None:
    """Say so where training ends before an option of a hook does what it is for.

    option: of which hook, as in the config.
    needed: iterations or epochs that training must have for it.
    lost: what does not happen.
    """
    length = runner.max_epochs if by_epoch else runner.max_iters
    if needed > length:
        unit = "epoch" if by_epoch else "iteration"
        count = f"{length} {unit}{'' if length == 1 else 's'}"
        print_log(
            f"{option} does not come in a training of {count}: {lost}; give a smaller one.",
            runner.logger,
            logging.WARNING,
        )
