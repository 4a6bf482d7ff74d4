from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmdcls.dcls import ElementPositions, figures_table, position_figures, start_positions
from mmdcls.dcls.arguments import check_number, check_whole
from mmdcls.dcls.failure_signatures import LIMITS, failure_signatures, sentences
from mmdcls.dcls.position_health import groups_of
from mmdcls.dcls.position_record import positions_line
from mmdcls.registry import HOOKS
from mmdcls.wrapping import unwrapped, whole_parameters

from .span import warn_of_end

KEY = "position_health"
# In the folder of a run, beside mmengine's scalars.json.
RECORD = Path("vis_data", "positions.json")
# Where training ends before an interval does.
LOST = dict(interval="nothing is measured", picture_interval="no picture is drawn")
PICTURE_INTERVAL = 5000
SIGNATURES = failure_signatures(rule="paramwise_cfg", layers="backbone")


@HOOKS.register_module()
class PositionHealth(Hook):
    """Tell how the positions fare, in figures, pictures and, where the method fails, warnings.

    Every `interval` iterations, a table in the log and scalars `positions/STAGE/FIGURE` for every
    visual backend, with the figures of `mmdcls.dcls.statistics` for each stage: for each layer of
    a network without stages of ours. They do not go through LoggerHook, which would write them
    again at each of its own intervals.

    interval: iterations between two measurements.
    picture_interval: iterations between two pictures of positions and dense kernels, for kernels
        with two axes; 0 for none, None for 5000 where training is as long. As often, at the start
        and at the end, positions go into the run's vis_data/positions.json, from which
        draw_positions_over_time.py draws.
    grace: the part of the training in which positions may still be where they started.
    most_at_border, most_at_centre, most_near_another, most_at_floor: largest healthy share of
        elements at the border, in the centre cell, within half a cell of another, and of widths at
        their floor.
    least_movement: smallest healthy mean distance from the start, in cells, of elements that start
        close to one place.

    None as a limit turns its warning off. Each warning comes once. The start is part of the
    checkpoint, so that movement is counted on after a resume.
    """

    # After ClampPositions and LoggerHook.
    priority = "LOW"

    def __init__(
        self,
        interval: int = 500,
        picture_interval: int | None = None,
        grace: float = 0.2,
        most_at_border: float | None = LIMITS["most_at_border"],
        most_at_centre: float | None = LIMITS["most_at_centre"],
        most_at_floor: float | None = LIMITS["most_at_floor"],
        least_movement: float | None = LIMITS["least_movement"],
        most_near_another: float | None = LIMITS["most_near_another"],
    ) -> None:
        self.limits = dict(
            most_at_border=most_at_border,
            most_at_centre=most_at_centre,
            most_near_another=most_near_another,
            most_at_floor=most_at_floor,
            least_movement=least_movement,
        )
        check_whole("interval", interval, least=1)
        # Of what nobody asked for, nothing is said where it does not come.
        self.told = ("interval",) if picture_interval is None else tuple(LOST)
        picture_interval = PICTURE_INTERVAL if picture_interval is None else picture_interval
        check_whole("picture_interval", picture_interval, least=0)
        check_number("grace", grace, "a share from 0 to 1", lambda value: 0 <= value <= 1)
        for name, limit in self.limits.items():
            if limit is not None:
                allowed = "at least 0, or None to turn its warning off"
                check_number(name, limit, allowed, lambda value: value >= 0)
        self.interval, self.picture_interval, self.grace = interval, picture_interval, grace
        self.groups: dict[str, dict[str, ElementPositions]] = {}
        self.first_iteration = 0
        self.start: dict[str, Tensor] = {}
        self.resumed: dict | None = None
        self.recorded: int | None = None
        self.warned: set[str] = set()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self.resumed = checkpoint.get(KEY)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint[KEY] = dict(first_iteration=self.first_iteration, start=self.start)

    def before_train(self, runner: Runner) -> None:
        self.groups, self.recorded = groups_of(unwrapped(runner.model)), None
        for name in self.told:
            option = f"mmdcls.PositionHealth's {name}={getattr(self, name)}"
            warn_of_end(option, getattr(self, name), runner, by_epoch=False, lost=LOST[name])
        # Loaded as a mere initialisation, a checkpoint is itself the start.
        known, self.resumed = (self.resumed if runner.iter else None) or {}, None
        self.first_iteration = known.get("first_iteration", runner.iter)
        with whole_parameters(runner.model):
            self.start = {
                name: known.get("start", {}).get(name, positions).cpu()
                for name, positions in start_positions(unwrapped(runner.model)).items()
            }
            self.record(runner, runner.iter)

    def after_train(self, runner: Runner) -> None:
        with whole_parameters(runner.model):
            self.record(runner, runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, *others, **results) -> None:
        steps = {self.measure: self.interval, self.draw: self.picture_interval}
        due = [
            step for step, interval in steps.items() if self.every_n_train_iters(runner, interval)
        ]
        if not self.groups or not due:
            return
        # All processes must hand over what they have of the positions; the first tells.
        with whole_parameters(runner.model):
            for step in due if is_main_process() else ():
                step(runner)

    def measure(self, runner: Runner) -> None:
        figures = position_figures(unwrapped(runner.model), self.start)
        table = figures_table(figures)
        runner.logger.info(
            f"Positions after {runner.iter + 1} iterations, lengths in cells\n{table}"
        )
        scalars = {
            f"positions/{stage}/{name}": value
            for stage, values in figures.items()
            for name, value in values.items()
        }
        runner.visualizer.add_scalars(scalars, step=runner.iter + 1)
        self.warn(runner, figures)

    def warn(self, runner: Runner, figures: dict[str, dict[str, float]]) -> None:
        done = runner.iter + 1 - self.first_iteration
        is_early = done < self.grace * (runner.max_iters - self.first_iteration)
        limits = {
            name: None if name in self.warned else limit for name, limit in self.limits.items()
        }
        found = sentences(SIGNATURES, self.groups, figures, limits, is_early)
        for sentence in found.values():
            runner.logger.warning(sentence)
        self.warned |= set(found)

    def draw(self, runner: Runner) -> None:
        if not self.has_pictures():
            return
        # Needs matplotlib, which figures do not.
        from mmdcls.dcls.drawing import positions_image

        image = positions_image(unwrapped(runner.model))
        runner.visualizer.add_image("positions", image, step=runner.iter + 1)
        self.record(runner, runner.iter + 1)

    def record(self, runner: Runner, step: int) -> None:
        """Add a line to the run's positions.json, unless the step has one."""
        wanted = self.picture_interval and self.has_pictures() and step != self.recorded
        if not wanted or not is_main_process():
            return
        path = Path(runner.log_dir) / RECORD
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(positions_line(unwrapped(runner.model), step))
        self.recorded = step

    def has_pictures(self) -> bool:
        owners = [owner for group in self.groups.values() for owner in group.values()]
        return any(len(owner.extents) == 2 for owner in owners)
