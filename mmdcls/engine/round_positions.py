from weakref import WeakSet

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdcls.dcls import ElementPositions, position_owners
from mmdcls.registry import HOOKS
from mmdcls.wrapping import unwrapped

from .owners import owners_for


@HOOKS.register_module()
class RoundPositions(Hook):
    """Validate and test as if every element stood on the nearest cell and had no width.

    That is how learned delays are deployed (arXiv 2306.17670). Positions and sigma are not touched,
    only the kernels that are made of them, so that whatever weights are evaluated (EMAHook's
    averages too) and saved stay exact, also where evaluation fails. What was on cells before, such
    as a control with fixed whole delays, is on cells in training as well.
    """

    # What such a hook has put on cells and has to let go. Of all of them: the one whose evaluation
    # failed may be gone when its model trains on.
    _put_on_cells: WeakSet[ElementPositions] = WeakSet()

    def before_val(self, runner: Runner) -> None:
        for owner in owners_for("mmdcls.RoundPositions", runner.model).values():
            if not owner.on_cells:
                owner.on_cells = True
                self._put_on_cells.add(owner)

    def after_val(self, runner: Runner) -> None:
        for owner in position_owners(unwrapped(runner.model)).values():
            if owner in self._put_on_cells:
                owner.on_cells = False
                self._put_on_cells.discard(owner)

    before_test = before_val
    after_test = after_val
    # An evaluation that failed has not come to its end.
    before_train = after_val
