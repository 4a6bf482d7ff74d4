"""How long functions take, side by side."""

import math
import time
from collections.abc import Callable, Mapping

import torch


def in_turns(
    runs: Mapping[str, Callable[[], object]],
    repeats: int,
    enough: float = math.inf,
    end: float = math.inf,
    device: torch.device | None = None,
) -> dict[str, list[float]]:
    """Seconds of each run in as many turns as repeats; a first turn warms up and is not counted.

    enough, end: of `time.perf_counter()`; no third turn, and no run, begins after it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        if turn > 1 and time.perf_counter() > enough:
            break
        for name, run in runs.items():
            if time.perf_counter() > end:
                break
            start = time.perf_counter()
            run()
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}
