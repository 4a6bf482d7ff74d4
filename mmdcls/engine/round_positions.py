from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdcls.dcls.whole_models import set_on_cells
from mmdcls.registry import HOOKS

from .owners import owners_for


@HOOKS.register_module()
class RoundPositions(Hook):
    """Validate and test as if every element stood on the nearest cell and had no width.

    That is how learned delays are deployed (arXiv 2306.17670). Positions and sigma are not touched,
    only the kernels that are made of them, so that whatever weights are evaluated (EMAHook's
    averages too) and saved stay exact, also where evaluation fails.
    """

    def before_train(self, runner: Runner) -> None:
        # An evaluation that failed has not come to its end.
        set_on_cells(runner.model, False)

    def before_val(self, runner: Runner) -> None:
        owners_for("mmdcls.RoundPositions", runner.model)
        set_on_cells(runner.model, True)

    def after_val(self, runner: Runner) -> None:
        set_on_cells(runner.model, False)

    before_test = before_val
    after_test = after_val
