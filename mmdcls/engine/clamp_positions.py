from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdcls.dcls import clamp_model_
from mmdcls.registry import HOOKS
from mmdcls.wrapping import whole_parameters


@HOOKS.register_module()
class ClampPositions(Hook):
    """Keep every learned position inside its kernel, after each optimiser step.

    Runs before EMAHook (priority NORMAL), so that averages are taken of clamped positions.
    """

    priority = "ABOVE_NORMAL"

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        with whole_parameters(runner.model):
            clamp_model_(runner.model)
