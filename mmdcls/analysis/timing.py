"""How long functions take, side by side."""

import math
import time
from collections.abc import Callable, Collection, Mapping

import torch


def in_turns(
    runs: Mapping[str, Callable[[], object]],
    repeats: int,
    enough: float = math.inf,
    end: float = math.inf,
    favoured: Collection[str] = (),
    device: torch.device | None = None,
) -> dict[str, list[float]]:
    """Seconds of each run in as many turns as repeats.

    Right before it each runs once uncounted, so that all find the caches as they leave them.

    enough, end: of `time.perf_counter()`. No run begins after `enough`, but the first of those
        that are favoured, which may until `end`.
    """

    def seconds_of(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats):
        for name, run in runs.items():
            if time.perf_counter() <= (end if turn == 0 and name in favoured else enough):
                seconds_of(run)
                seconds[name].append(seconds_of(run))
    return seconds
