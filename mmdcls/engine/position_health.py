from collections.abc import Sequence

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdcls.dcls import ElementPositions
from mmdcls.dcls.arguments import check_number, check_whole
from mmdcls.dcls.statistics import element_figures, summary
from mmdcls.registry import HOOKS
from mmdcls.wrapping import unwrapped, whole_parameters

from .failure_signatures import SIGNATURES, Group

KEY = "position_health"


@HOOKS.register_module()
class PositionHealth(Hook):
    """Tell how the positions fare, in figures, pictures and, where the method fails, warnings.

    Every `interval` iterations, a table in the log and scalars `positions/STAGE/FIGURE` for every
    visual backend, with the figures of `mmdcls.dcls.statistics` for each stage: for each layer of
    a network without stages of ours. They do not go through LoggerHook, which would write them
    again at each of its own intervals.

    interval: iterations between two measurements.
    picture_interval: iterations between two pictures of positions and dense kernels, for kernels
        with two axes; 0 for none.
    grace: the part of the training in which positions may still be where they started.
    most_at_border, most_at_centre, most_at_floor: largest healthy share of elements at the
        border, of elements in the centre cell, and of widths at their floor.
    least_movement: smallest healthy mean distance from the start, in cells.

    None as a limit turns its warning off. Each warning comes once. The start is part of the
    checkpoint, so that movement is counted on after a resume.
    """

    # After ClampPositions and LoggerHook.
    priority = "LOW"

    def __init__(
        self,
        interval: int = 500,
        picture_interval: int = 5000,
        grace: float = 0.2,
        most_at_border: float | None = 0.5,
        most_at_centre: float | None = 0.8,
        most_at_floor: float | None = 0.5,
        least_movement: float | None = 0.05,
    ) -> None:
        self.limits = dict(
            most_at_border=most_at_border,
            most_at_centre=most_at_centre,
            most_at_floor=most_at_floor,
            least_movement=least_movement,
        )
        check_whole("interval", interval, least=1)
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
        self.warned: set[str] = set()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self.resumed = checkpoint.get(KEY)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint[KEY] = dict(first_iteration=self.first_iteration, start=self.start)

    def before_train(self, runner: Runner) -> None:
        self.groups = groups_of(unwrapped(runner.model))
        # Loaded as a mere initialisation, a checkpoint is itself the start.
        known, self.resumed = (self.resumed if runner.iter else None) or {}, None
        self.first_iteration = known.get("first_iteration", runner.iter)
        with whole_parameters(runner.model):
            self.start = {
                name: known.get("start", {}).get(name, owner.positions).detach().cpu().clone()
                for owners in self.groups.values()
                for name, owner in owners.items()
            }

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
        figures = {
            name: summary([self.figures_of(*item) for item in owners.items()])
            for name, owners in self.groups.items()
        }
        runner.logger.info(
            f"Positions after {runner.iter + 1} iterations, lengths in cells\n{table(figures)}"
        )
        scalars = {
            f"positions/{stage}/{name}": value
            for stage, values in figures.items()
            for name, value in values.items()
        }
        runner.visualizer.add_scalars(scalars, step=runner.iter + 1)
        self.warn(runner, figures)

    def figures_of(self, name: str, owner: ElementPositions) -> dict[str, Tensor]:
        start = self.start[name].to(owner.positions.device)
        return element_figures(
            owner.positions, owner.sigma, start, owner.kernel_size, owner.interpolation
        )

    def warn(self, runner: Runner, figures: dict[str, dict[str, float]]) -> None:
        done = runner.iter + 1 - self.first_iteration
        is_early = done < self.grace * (runner.max_iters - self.first_iteration)
        groups = [
            Group(name, list(owners.values()), figures[name])
            for name, owners in self.groups.items()
        ]
        for name, signature in SIGNATURES.items():
            limit = self.limits[name]
            if limit is None or name in self.warned or (is_early and signature.needs_time):
                continue
            if found := [group for group in groups if signature.is_shown_by(group, limit)]:
                self.warned.add(name)
                runner.logger.warning(signature.sentence(found))

    def draw(self, runner: Runner) -> None:
        owners = [owner for group in self.groups.values() for owner in group.values()]
        if not any(len(owner.kernel_size) == 2 for owner in owners):
            return
        # Needs matplotlib, which figures do not.
        from .drawing import positions_image

        image = positions_image(unwrapped(runner.model))
        runner.visualizer.add_image("positions", image, step=runner.iter + 1)


def groups_of(model: nn.Module) -> dict[str, dict[str, ElementPositions]]:
    """The owners of positions by stage: the outermost ElementPositions that they are part of.

    Kernels of a single cell are left out: there, nothing can move.
    """
    groups: dict[str, dict[str, ElementPositions]] = {}
    for name, module in model.named_modules():
        if not isinstance(module, ElementPositions):
            continue
        # Parents come before what they contain.
        stage = next((stage for stage in groups if name.startswith(f"{stage}.")), name)
        owners = groups.setdefault(stage, {})
        if module.positions is not None and max(module.kernel_size) > 1:
            owners[name] = module
    return {stage: owners for stage, owners in groups.items() if owners}


def table(figures: dict[str, dict[str, float]]) -> str:
    columns = list(dict.fromkeys(name for values in figures.values() for name in values))
    rows = [["", *columns]]
    for stage, values in figures.items():
        rows.append([stage, *(f"{values[c]:.3f}" if c in values else "-" for c in columns)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(aligned(row, widths) for row in rows)


def aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [f"{first[0]:{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]
    return "  ".join(cells).rstrip()
