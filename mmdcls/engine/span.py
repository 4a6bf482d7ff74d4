"""What part of training a hook is for, counted in iterations or in epochs, from 0."""

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
