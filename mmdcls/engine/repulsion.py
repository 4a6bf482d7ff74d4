from collections.abc import Mapping

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmdcls.dcls import repulsion_loss
from mmdcls.dcls.arguments import check_flag, check_number, check_whole
from mmdcls.errors import InputError
from mmdcls.registry import HOOKS
from mmdcls.wrapping import is_cut, unwrapped

from .owners import owners_for
from .span import check_span, now, warn_of_end


@HOOKS.register_module()
class Repulsion(Hook):
    """Keep elements from crowding by a term of the loss, `loss_repulsion` (arXiv 2112.03740).

    The term is weight * `mmdcls.dcls.repulsion_loss`. It joins the losses inside the model's
    forward pass, so that accumulation, loss scaling and gradient averaging treat it like every
    other loss.

    weight: 1 in the published training.
    begin: first iteration with the term, or first epoch; both count from 0.
    by_epoch: whether begin counts epochs.
    """

    def __init__(self, weight: float = 1.0, begin: int = 0, by_epoch: bool = False) -> None:
        check_number("weight", weight, "at least 0", lambda value: value >= 0)
        check_whole("begin", begin, least=0)
        check_flag("by_epoch", by_epoch)
        self.weight, self.begin, self.by_epoch = weight, begin, by_epoch
        self._handle: torch.utils.hooks.RemovableHandle | None = None

    def before_train(self, runner: Runner) -> None:
        if is_cut(runner.model):
            raise InputError(
                "mmdcls.Repulsion needs whole positions in every process, and FSDP cuts them up; "
                "use strategy=dict(type='DDPStrategy'), or take it out of custom_hooks."
            )
        owners_for("mmdcls.Repulsion", runner.model)
        check_span("mmdcls.Repulsion", runner, self.by_epoch)
        option = f"mmdcls.Repulsion's begin={self.begin}"
        warn_of_end(option, self.begin + 1, runner, self.by_epoch, "the term never joins the loss")

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        if self._handle is None and now(runner, self.by_epoch) >= self.begin:
            model = unwrapped(runner.model)
            self._handle = model.register_forward_hook(self.add_term, with_kwargs=True)

    def after_train(self, runner: Runner) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def add_term(self, model: nn.Module, inputs: tuple, options: dict, losses: object) -> object:
        """Forward hook of the model; mmengine passes `mode` by name."""
        if options.get("mode") != "loss" or not isinstance(losses, Mapping):
            return losses
        return {**losses, "loss_repulsion": self.weight * repulsion_loss(model)}
