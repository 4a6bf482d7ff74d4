"""A cell of a study: one training, of a config with what an arm changes in it, under a seed."""

import copy
import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdcls.config import config_at
from mmdcls.errors import InputError

# What of a config decides which figures come out; the rest says where they go and who watches.
DECIDES = (
    "auto_scale_lr",
    "custom_hooks",
    "data_preprocessor",
    "default_scope",
    "load_from",
    "model",
    "optim_wrapper",
    "param_scheduler",
    "test_cfg",
    "test_dataloader",
    "test_evaluator",
    "train_cfg",
    "train_dataloader",
    "val_cfg",
    "val_dataloader",
    "val_evaluator",
)
# Of the hooks that every training has, those that do more than watch.
WORKING_HOOKS = dict(param_scheduler="ParamSchedulerHook", sampler_seed="DistSamplerSeedHook")
WATCHING_HOOKS = {"checkpoint", "logger", "runtime_info", "timer", "visualization"}


@dataclass(frozen=True)
class Cell:
    """table, data, arm: what tables call it, and its file.
    config: path of the config of the data set.
    overrides: what the arm changes in it, as for `Config.merge_from_dict`.
    """

    table: str
    data: str
    arm: str
    seed: int
    config: Path
    overrides: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.table}: {self.data}, {self.arm}, seed {self.seed}"


def base_config(path: Path) -> Config:
    return config_of_file(path, path.stat().st_mtime_ns if path.is_file() else 0)


@cache
def config_of_file(path: Path, changed: int) -> Config:
    return config_at(str(path))


def config_of(cell: Cell) -> Config:
    """A config of the caller's own. Raises InputError for what has no place in it."""
    cfg = copy.deepcopy(base_config(cell.config))
    try:
        cfg.merge_from_dict(copy.deepcopy(cell.overrides))
    except (KeyError, TypeError) as error:
        raise InputError(f"{cell}: {cell.config} cannot be changed so ({error}).") from error
    return cfg


def key_of(cell: Cell) -> str:
    """Equal for cells that are one training, whatever tables call them."""
    cfg = config_of(cell).to_dict()
    decides = {name: cfg[name] for name in DECIDES if cfg.get(name) is not None}
    if hooks := own_hooks(cfg.get("default_hooks") or {}):
        decides["default_hooks"] = hooks
    randomness = {**(cfg.get("randomness") or {}), "seed": cell.seed}
    text = json.dumps([decides, randomness], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def own_hooks(default_hooks: dict[str, Any]) -> dict[str, Any]:
    """What of them is not as in every training, and may decide its figures."""
    return {
        name: hook
        for name, hook in default_hooks.items()
        if name not in WATCHING_HOOKS and hook != dict(type=WORKING_HOOKS.get(name))
    }
