"""mmengine's checkpoints under torch's `weights_only=True`.

Beside weights, a Runner's checkpoint holds its log as HistoryBuffer objects and numpy scalars,
and with OneCycleLR its curve, a method, which torch >= 2.6 refuses to unpickle. They are added to
torch's list of harmless names.

Files of safetensors serve wherever mmengine reads weights, with releases of torch as well that know
nothing of them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_from_local as load_from_torch

METHODS = {
    HistoryBuffer: ("min", "max", "current", "mean"),
    OneCycleParamScheduler: ("_annealing_cos", "_annealing_linear"),
}
DTYPES = (bool, np.int32, np.int64, np.float32, np.float64)


def getattr_of_runner(owner: type, name: str) -> Callable:
    """Stands in for `getattr`, which such a file needs for METHODS only."""
    if not isinstance(owner, type) or name not in METHODS.get(owner, ()):
        raise ValueError(f"the checkpoint asks for {owner!r}.{name}, which no Runner writes")
    return getattr(owner, name)


def load_from_local(filename: str, map_location: object = None) -> Mapping:
    """As mmengine's loader of this name, which its log tells by it."""
    from .files import is_safetensors, read_file

    path = Path(filename).expanduser()
    if path.is_file() and is_safetensors(path):
        return read_file(path)
    return load_from_torch(filename, map_location)


def allow_runner_checkpoints() -> None:
    CheckpointLoader.register_scheme("", load_from_local, force=True)
    multiarray = (np._core if hasattr(np, "_core") else np.core).multiarray
    named = [
        (getattr(multiarray, name), f"{package}.multiarray.{name}")
        for name in ("_reconstruct", "scalar")
        for package in ("numpy.core", "numpy._core")
    ]
    named.append((getattr_of_runner, "builtins.getattr"))
    dtypes = [type(np.dtype(dtype)) for dtype in DTYPES]
    # Each with its name, which keeps them apart from the same objects without one: those onedl's
    # mmengine lists for the time of a load and then takes off the list again.
    for known in (*METHODS, np.ndarray, np.dtype, *dtypes):
        named.append((known, f"{known.__module__}.{known.__qualname__}"))
    torch.serialization.add_safe_globals(named)
