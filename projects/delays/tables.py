"""The tables of the project: which networks are trained, and what is changed for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdcls.study.cells import Cell

CONFIGS = Path(__file__).resolve().parent / "configs"
# Hooks of networks whose widths nothing anneals.
FIXED = dict(custom_hooks=[dict(type="mmdcls.ClampPositions"), dict(type="mmdcls.RoundPositions")])
NONE = dict(custom_hooks=[])
TAUS = (1.005, 2.0, 5.0, 10.0, 20.0)


def model(**changes: Any) -> dict[str, Any]:
    return {f"model.{name}": value for name, value in changes.items()}


@dataclass(frozen=True)
class Arm:
    """says: what the page calls it. changes: as for `Config.merge_from_dict`."""

    says: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """One page's table: the first arm is what the others are compared with.

    everywhere: changes of all arms. seed_in: places of the config that take the seed.
    by_tau: arms are NETWORK_TAU, and only validation counts.
    truth: delays of which it is known what they are to be, those of `truths`; else None.
    """

    name: str
    data: str
    title: str
    arms: Mapping[str, Arm]
    everywhere: Mapping[str, Any]
    seed_in: tuple[str, ...] = ()
    by_tau: bool = False
    truth: tuple[float, ...] | None = None

    def cells(self, seeds: range) -> list[Cell]:
        config = CONFIGS / f"{self.data}.py"
        return [
            Cell(
                self.name,
                self.data,
                name,
                seed,
                config,
                {**self.everywhere, **arm.changes, **dict.fromkeys(self.seed_in, seed)},
            )
            for seed in seeds
            for name, arm in self.arms.items()
        ]


def none(hidden: int, tau: float, **changes: Any) -> dict[str, Any]:
    widths = [hidden] if hidden else []
    return {**NONE, **model(delays="none", hidden=widths, tau=tau, **changes)}


# The initial weight of one layer is for hidden layers none.
DRAWN = dict(initial_weight=None)
TASKS = tuple(f"{part}_dataloader.dataset.seed" for part in ("train", "val", "test"))
POLYCHRONY = {
    "learned": Arm("learned delays", {}),
    "fixed": Arm("fixed random delays", {**FIXED, **model(delays="fixed")}),
    "none": Arm("no delays, tau 5", none(0, 5.0)),
    "hidden": Arm("hidden 64, no delays, tau 10", none(64, 10.0, **DRAWN)),
    "recurrent": Arm(
        "hidden 40, dense recurrent, tau 5", none(40, 5.0, recurrent="dense", **DRAWN)
    ),
}
DIGITS = {
    "learned": Arm("learned delays, hidden 32, tau 2", {}),
    "fixed": Arm(
        "fixed random delays, hidden 64, tau 5",
        {**FIXED, **model(delays="fixed", hidden=[64], tau=5.0)},
    ),
    "none": Arm("no delays, hidden 64, tau 10", none(64, 10.0)),
    "memoryless": Arm("no delays, hidden 32, no memory", none(32, 1.005)),
    "recurrent": Arm("dense recurrent, hidden 32, tau 5", none(32, 5.0, recurrent="dense")),
}
LONG = 40
LONGER = {
    "train_cfg.max_epochs": LONG,
    "param_scheduler.0.T_max": LONG,
}
LONGER_HOOKS = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="mmdcls.AnnealSigma", from_width=7.27, to_width=0.5, end=LONG // 2, by_epoch=True),
    dict(type="mmdcls.RoundPositions"),
]
RECURRENT_HOOKS = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="mmdcls.AnnealSigma", from_width=7.27, to_width=0.5, end=6, by_epoch=True),
    dict(type="mmdcls.RoundPositions"),
]


def recurrent(kind: str) -> dict[str, Any]:
    hooks = dict(custom_hooks=RECURRENT_HOOKS) if kind == "learned" else FIXED
    return {**hooks, **model(delays="none", hidden=[32], tau=5.0, recurrent=kind)}


def tuned(arms: Mapping[str, dict[str, Any]]) -> dict[str, Arm]:
    return {
        f"{name}_{tau:g}": Arm(f"{name}, tau {tau:g}", {**changes, **model(tau=tau)})
        for name, changes in arms.items()
        for tau in TAUS
    }


TRUTHS = {
    "learned": Arm("learned", {}),
    "fixed": Arm("fixed at random", model(delays="fixed")),
}
TABLES = {
    table.name: table
    for table in (
        Table("polychrony", "polychrony", "Task 1, polychrony", POLYCHRONY, {}, TASKS),
        Table("digits", "digits", "Task 2, digits forwards or backwards: 12 epochs", DIGITS, {}),
        Table(
            "digits_long",
            "digits",
            "Task 2: 40 epochs",
            {
                "learned": Arm(
                    "learned delays, hidden 32, tau 5",
                    {"custom_hooks": LONGER_HOOKS, **model(tau=5.0)},
                ),
                **{name: DIGITS[name] for name in ("fixed", "none")},
            },
            LONGER,
        ),
        Table(
            "recurrent",
            "digits",
            "Task 2: delays of recurrent axons",
            {
                "learned": Arm("learned", recurrent("learned")),
                "fixed": Arm("fixed at random", recurrent("fixed")),
                "dense": Arm("one step", DIGITS["recurrent"].changes),
            },
            {},
        ),
        Table(
            "vowels",
            "vowels",
            "Japanese vowels: 60 epochs",
            {
                "learned": Arm("learned delays, hidden 32, tau 2", {}),
                "fixed": Arm(
                    "fixed random delays, hidden 64, tau 2",
                    {**FIXED, **model(delays="fixed", hidden=[64])},
                ),
                "none": Arm("no delays, hidden 64, tau 10", none(64, 10.0)),
            },
            {},
        ),
        Table(
            "tau_polychrony",
            "polychrony",
            "Task 1: tau, by validation",
            tuned({"learned": {}, "none": none(0, 5.0), "hidden": none(64, 5.0, **DRAWN)}),
            {},
            TASKS,
            by_tau=True,
        ),
        Table(
            "tau_digits",
            "digits",
            "Task 2: tau, by validation",
            tuned({"learned": {}, "none": none(64, 10.0), "fixed": DIGITS["fixed"].changes}),
            {},
            by_tau=True,
        ),
        Table(
            "mackey_glass",
            "mackey_glass",
            "A recurrent delay: the Mackey-Glass series, tau 17",
            {
                **TRUTHS,
                "none": Arm("no delay", model(delays=0)),
                "true": Arm("the true one", model(delays=17)),
            },
            {},
            truth=(16.5,),
        ),
        Table("hops_5", "hops", "Hops on a graph: 5", TRUTHS, {}, truth=(5,)),
        Table(
            "hops_3_8",
            "hops",
            "Hops on a graph: 3 and 8",
            TRUTHS,
            {"train_dataloader.hops": [3, 8]},
            truth=(3, 8),
        ),
    )
}
