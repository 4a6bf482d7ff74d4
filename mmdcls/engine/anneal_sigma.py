import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmdcls.dcls import ElementPositions
from mmdcls.dcls.arguments import check_flag, check_whole
from mmdcls.dcls.widths import check_floor, check_kind_and_widths, sigma_at, width_owners
from mmdcls.errors import InputError
from mmdcls.registry import HOOKS
from mmdcls.wrapping import unwrapped

from .owners import owners_for
from .span import check_span, now, warn_of_end


@HOOKS.register_module()
class AnnealSigma(Hook):
    """Take every element from one width to another while training, as when delays are learned.

    The width is a function of the iteration (or epoch) alone, so that a resumed run continues it.
    It is in force from the iteration's forward pass on. Until `end` the schedule alone moves sigma:
    sigma's gradient is set to zero, where it neither moves it nor counts in gradient clipping.
    (requires_grad stays on, for DistributedDataParallel waits for every gradient it was built
    with.) Sigma of frozen stages stays what it is.

    from_width, to_width: in cells, as the kernel uses them, |sigma| + the interpolation's floor.
    begin, end: iterations, or epochs, between which the width changes, counted from 0; it is
        from_width before and to_width after.
    by_epoch: whether begin and end count epochs; the width then changes once per epoch.
    kind: "geometric" multiplies sigma, the part above the floor, by the same factor every time, as
        published (arXiv 2306.17670); "linear" and "cosine" have the curves of the learning rates.
    learnable: after `end`, leave sigma to the optimiser; otherwise it keeps to_width.
    """

    def __init__(
        self,
        from_width: float,
        to_width: float,
        end: int,
        begin: int = 0,
        by_epoch: bool = False,
        kind: str = "geometric",
        learnable: bool = False,
    ) -> None:
        check_kind_and_widths(kind, dict(from_width=from_width, to_width=to_width))
        check_whole("begin", begin, least=0)
        check_whole("end", end, least=begin + 1)
        check_flag("by_epoch", by_epoch)
        check_flag("learnable", learnable)
        self.from_width, self.to_width = from_width, to_width
        self.begin, self.end, self.by_epoch = begin, end, by_epoch
        self.kind, self.learnable = kind, learnable
        self._owners: list[ElementPositions] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._holds = True

    def before_train(self, runner: Runner) -> None:
        check_span("mmdcls.AnnealSigma", runner, self.by_epoch)
        if sum(isinstance(hook, AnnealSigma) for hook in runner.hooks) > 1:
            raise InputError(
                "custom_hooks has mmdcls.AnnealSigma more than once, and each would undo the "
                "other, for it holds the width before its span and after it; keep one."
            )
        owners_for("mmdcls.AnnealSigma", runner.model)
        owners = width_owners(unwrapped(runner.model))
        if not owners:
            raise InputError(
                "mmdcls.AnnealSigma finds no sigma that is not frozen; use "
                "interpolation='gaussian' or 'triangle', or take it out of custom_hooks."
            )
        widths = dict(from_width=self.from_width, to_width=self.to_width)
        for name, owner in owners.items():
            try:
                check_floor(name, owner.interpolation, widths, self.kind)
            except ValueError as error:
                raise InputError(f"mmdcls.AnnealSigma: {error}.") from None
        option = f"mmdcls.AnnealSigma's end={self.end}"
        lost = f"widths do not come to to_width={self.to_width}"
        # The last iteration, or epoch, is the one before the training's length.
        warn_of_end(option, self.end + 1, runner, self.by_epoch, lost)
        self._owners = list(owners.values())
        self._handles = [owner.sigma.register_hook(self.hold) for owner in self._owners]

    def before_train_epoch(self, runner: Runner) -> None:
        if self.by_epoch:
            self.follow(now(runner, by_epoch=True))

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        if not self.by_epoch:
            self.follow(now(runner, by_epoch=False))

    def after_train(self, runner: Runner) -> None:
        for handle in self._handles:
            handle.remove()

    @torch.no_grad()
    def follow(self, time: int) -> None:
        self._holds = time < self.end or not self.learnable
        # At the end itself, sigma is set a last time, and learns from there.
        if time <= self.end or self._holds:
            for owner in self._owners:
                owner.sigma.fill_(self.sigma_at(time, owner.interpolation))

    def hold(self, gradient: Tensor) -> Tensor:
        return torch.zeros_like(gradient) if self._holds else gradient

    def sigma_at(self, time: int, interpolation: str) -> float:
        """What is stored at this iteration or epoch."""
        progress = (time - self.begin) / (self.end - self.begin)
        return sigma_at(progress, self.from_width, self.to_width, interpolation, self.kind)
