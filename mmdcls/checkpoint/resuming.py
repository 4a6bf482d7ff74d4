"""What must be as it was in the run that a checkpoint is of."""

from collections.abc import Iterator, Mapping

from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mmdcls.dcls import ElementPositions
from mmdcls.dcls.wrappers import without_wrappers
from mmdcls.errors import InputError
from mmdcls.wrapping import is_cut

KEY = "dcls"


def layers_of(model: nn.Module) -> dict[str, list]:
    """Kernel size and interpolation of everything that has positions, which no weight tells."""
    return {
        without_wrappers(name): [list(module.kernel_size), module.interpolation]
        for name, module in model.named_modules()
        if isinstance(module, ElementPositions)
    }


def fault_of_layers(
    source: str, checkpoint: Mapping, model: nn.Module, advice: str
) -> InputError | None:
    """What to raise where the checkpoint's kernels were of another size or interpolation.

    Checkpoints that do not say are taken.
    """
    there, here = checkpoint.get("meta", {}).get(KEY, {}), layers_of(model)
    for name, own in here.items():
        if name in there and list(there[name]) != own:
            (size, interpolation), (own_size, own_interpolation) = there[name], own
            return InputError(
                f"{source} was trained with kernel_size={tuple(size)} and "
                f"interpolation={interpolation!r} at {name or 'the model'}, which has "
                f"{tuple(own_size)} and {own_interpolation!r}; {advice}."
            )
    return None


def check_optimizer(source: str, checkpoint: Mapping, runner: Runner) -> None:
    """Raise InputError where the optimiser's state is not there or is of another optimiser."""
    if "optimizer" not in checkpoint:
        raise InputError(
            f"{source} was saved without the state of the optimiser (save_optimizer=False); it "
            f"serves as load_from, not to resume."
        )
    saved = checkpoint["optimizer"].get("param_groups")
    if saved is None or not isinstance(runner.optim_wrapper, OptimWrapper) or is_cut(runner.model):
        return
    own = runner.optim_wrapper.optimizer.param_groups
    if difference := next(differences(saved, own), None):
        raise InputError(
            f"{source} has the state of another optimiser: {difference}; resume with the "
            f"optim_wrapper it was trained with, or give it as load_from to start a new one."
        )
    changed = {
        (before, now)
        for before, now in zip(map(rate_of, saved), map(rate_of, own), strict=True)
        if before != now
    }
    if changed:
        (before, now), *_ = sorted(changed)
        runner.logger.warning(
            f"{source} has other rates, such as {before:.3g}, and training goes on with them, not "
            f"with those of the config, such as {now:.3g}: a resumed optimiser keeps its own; give "
            f"the file as load_from to train with others."
        )


def differences(saved: list[dict], own: list[dict]) -> Iterator[str]:
    if len(saved) != len(own):
        yield f"it has {len(saved)} groups of parameters, and the config makes {len(own)}"
        return
    for before, now in zip(saved, own, strict=True):
        name = now.get("group_name", "a group")
        if len(before["params"]) != len(now["params"]):
            sizes = f"{len(before['params'])} parameters there and {len(now['params'])} here"
            yield f"{name} has {sizes}"
        # What schedules add, and what follows from position_travel, nobody has asked for.
        if missing := sorted(now.keys() - before.keys() - {"initial_lr", "travel_is_settled"}):
            yield f"it has no {', '.join(missing)}"


def rate_of(group: dict) -> float:
    return float(group.get("initial_lr", group["lr"]))
