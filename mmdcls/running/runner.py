"""mmengine's Runners, with what ours look at before they begin."""

from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, FlexibleRunner, Runner
from torch.utils.data import DataLoader

from mmdcls.checkpoint.fitting import weights_of
from mmdcls.data.reading import naming_bad_data, watch
from mmdcls.engine import PositionTravel

from .hooks import UnreadableFiles
from .passing_over import is_by_iterations, pass_over_trained
from .processes import join_processes_on_cpu

# Without worker processes torch refuses them, and there is nothing that they could mean.
OPTIONS_OF_WORKERS = {
    "persistent_workers",
    "prefetch_factor",
    "timeout",
    "multiprocessing_context",
}


class Checked:
    """Of a runner: looks at its data sets before any worker process has a copy of them.

    mmengine's CheckpointHook is replaced by ours, which takes the same arguments. A resumed loop by
    iterations reads none of the batches that it was trained on. PositionTravel is there without
    being asked for.
    """

    policies: Sequence[UnreadableFiles] = ()

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        hooks = dict(hooks or {})
        checkpoint = hooks.setdefault("checkpoint", dict(type="CheckpointHook", interval=1))
        if isinstance(checkpoint, dict) and checkpoint["type"] == "CheckpointHook":
            hooks["checkpoint"] = dict(checkpoint, type="mmdcls.CheckpointHook")
        super().register_default_hooks(hooks)
        self.register_hook(PositionTravel())

    def build_train_loop(self, loop: dict | BaseLoop) -> BaseLoop:
        self.policies = [hook for hook in self.hooks if isinstance(hook, UnreadableFiles)]
        try:
            return super().build_train_loop(loop)
        finally:
            self.policies = []  # validation and tests skip nothing

    def build_dataloader(self, dataloader: dict | DataLoader, *arguments, **options) -> DataLoader:
        if isinstance(dataloader, dict) and not dataloader.get("num_workers"):
            dataloader = {k: v for k, v in dataloader.items() if k not in OPTIONS_OF_WORKERS}
        with naming_bad_data(dataloader):
            loader = super().build_dataloader(dataloader, *arguments, **options)
        watch(loader.dataset)
        for policy in self.policies:
            policy.prepare(loader.dataset)
        return loader

    def load_or_resume(self) -> None:
        super().load_or_resume()
        # Not built in a test.
        if is_by_iterations(self._train_loop):
            pass_over_trained(self._train_loop)

    def build_evaluator(self, evaluator: dict | list | Evaluator) -> Evaluator:
        with naming_bad_data(evaluator):
            return super().build_evaluator(evaluator)


class CheckingRunner(Checked, Runner):
    pass


class PlainNames(Hook):
    """Keep DDPStrategy from prefixing every name in its checkpoints, which Runner does not do."""

    priority = "VERY_HIGH"

    def before_save_checkpoint(self, runner: FlexibleRunner, checkpoint: dict) -> None:
        checkpoint["state_dict"] = weights_of(checkpoint)


class CheckingFlexibleRunner(Checked, FlexibleRunner):
    """Builds its model at once, as Runner does: one that cannot be built leaves no files.

    model_state: the names and shapes of the whole model, which a strategy may cut up.
    """

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.register_hook(PlainNames())
        self.model = self.strategy.build_model(self.model)
        self.model_state = {k: v.to("meta") for k, v in self.model.state_dict().items()}

    def load_or_resume(self) -> None:
        # As Runner does: CheckpointHook chooses what to resume from, and what EMAHook loads into
        # must be there.
        super().call_hook("before_run")
        super().load_or_resume()

    def call_hook(self, name: str, **arguments) -> None:
        if name != "before_run":  # which was called before loading
            super().call_hook(name, **arguments)


def build_runner(cfg: Config) -> Runner | FlexibleRunner:
    # Numbers below 1e-38, which GELU's gradient meets by chance, cost CPUs several times a step.
    torch.set_flush_denormal(True)
    if cfg.get("launcher", "none") != "none" and not torch.accelerator.is_available():
        join_processes_on_cpu(cfg)
    if "runner_type" not in cfg:
        return CheckingRunner.from_cfg(cfg)
    if cfg.runner_type == "FlexibleRunner":
        return CheckingFlexibleRunner.from_cfg(cfg)
    return RUNNERS.build(cfg)
