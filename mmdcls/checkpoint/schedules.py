"""Whether the schedule that training goes on with is the one that the config asks for."""

from collections.abc import Iterator, Mapping, Sequence
from inspect import signature

from mmengine.optim import ConstantParamScheduler, OneCycleParamScheduler, _ParamScheduler
from mmengine.runner import Runner

from mmdcls.errors import InputError

# Arguments of schedulers that change while they run, or change nothing.
NO_OPTIONS = {"optimizer", "last_step", "verbose"}
LITTLE = 0.01


def warn_of_kept_schedule(source: str, checkpoint: Mapping, runner: Runner) -> None:
    """Before the state of the checkpoint, options and all, is loaded into the schedulers."""
    own = [scheduler for group in groups(runner.param_schedulers) for scheduler in group]
    if "param_schedulers" not in checkpoint:
        if own:
            runner.logger.warning(
                f"Training begins the schedule of the config anew: {source} was saved without the "
                f"state of its own (save_param_scheduler=False)."
            )
        return
    saved = [state for group in groups(checkpoint["param_schedulers"]) for state in group]
    if len(saved) != len(own):
        kept, given = f"in which there are {len(saved)} schedulers", f"which has {len(own)}"
    else:
        changes = [change for pair in zip(saved, own, strict=True) for change in changed(*pair)]
        if not changes:
            return
        kept, given = (", ".join(side) for side in zip(*changes, strict=True))
        kept, given = f"in which {kept}", f"which has {given}"
    runner.logger.warning(
        f"Training goes on with the schedule of {source}, {kept}, and not with that of the config, "
        f"{given}: a resumed schedule keeps its options; give the file as load_from to begin a new "
        f"one."
    )


def groups(schedulers: Mapping[str, Sequence] | Sequence | None) -> list[Sequence]:
    """Those of each optimiser, or their states."""
    return list(schedulers.values()) if isinstance(schedulers, Mapping) else [schedulers or []]


def changed(saved: Mapping, own: _ParamScheduler) -> Iterator[tuple[str, str]]:
    """What is said of each option that a scheduler will not have, as it is saved and given."""
    kind = type(own).__name__
    arguments = {name for base in type(own).__mro__ for name in signature(base.__init__).parameters}
    for name in sorted(vars(own).keys() & arguments - NO_OPTIONS):
        value = getattr(own, name)
        if name not in saved:
            yield f"nothing has {name}", f"{name}={shown(value)}"
        elif saved[name] != value:
            yield f"{kind} has {name}={shown(saved[name])}", f"{name}={shown(value)}"


def shown(value: object) -> str:
    # Milestones are counted.
    return repr(sorted(value) if isinstance(value, Mapping) else value)


def warn_of_early_end(runner: Runner, is_resumed: bool) -> None:
    """Where much of training comes after the end of all schedulers but those that warm up."""

    def share(scheduler: _ParamScheduler) -> float:
        return scheduler.end / (runner.max_epochs if scheduler.by_epoch else runner.max_iters)

    for group in groups(runner.param_schedulers):
        rates = [one for one in group if one.param_name == "lr" and not is_warm_up(one)]
        last = max(rates, key=share, default=None)
        if last is None or share(last) > 1 - LITTLE:
            continue
        unit = "epoch" if last.by_epoch else "iteration"
        length = runner.max_epochs if last.by_epoch else runner.max_iters
        rate = "is 0" if getattr(last, "eta_min", None) == 0 else "stays as it is then"
        advice = "give its param_scheduler the length of training"
        if is_resumed:
            advice = "give the checkpoint as load_from to begin a new schedule"
        runner.logger.warning(
            f"{type(last).__name__} ends at {unit} {last.end}, and training at {length}: from then "
            f"on the rate {rate}; {advice}."
        )


def refuse_equal_rates(runner: Runner) -> None:
    """Raise InputError where OneCycleLR gives all parameters one rate, and the config asks for
    different ones."""
    wrapper = runner.cfg.get("optim_wrapper") or {}
    asked = sorted(set(wrapper.get("paramwise_cfg") or ()) - {"position_travel"})
    for one in (one for group in groups(runner.param_schedulers) for one in group):
        if asked and isinstance(one, OneCycleParamScheduler) and one.param_name == "lr":
            parameters = one.optimizer.param_groups
            if len({group["max_lr"] for group in parameters if "position_travel" not in group}) > 1:
                continue
            raise InputError(
                f"OneCycleLR trains all parameters at one rate, whatever paramwise_cfg says of "
                f"rates by {', '.join(asked)}: take another scheduler, leave these out, or give "
                f"eta_max as a list, a rate for each of the {len(parameters)} groups. "
                f"(position_travel works with it.)"
            )


def is_warm_up(scheduler: _ParamScheduler) -> bool:
    """Whether it ends at the rate of the config, where a run begins."""
    is_whole = getattr(scheduler, "end_factor", None) == 1
    return scheduler.begin == 0 and (is_whole or isinstance(scheduler, ConstantParamScheduler))
