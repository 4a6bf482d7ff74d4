"""The rows that benchmark_gpu.py writes, and what is read off several of them."""

import json
from pathlib import Path

Row = dict
COMPUTATIONS = ("values", "input_gradient", "kernel_gradient")
# A way, the memory format of its maps, and "benchmark" where cuDNN timed its candidates.
BAND = ("band", "NHWC", None)
FRAMEWORK = (("framework", "NHWC", None), ("framework", "NCHW", None))
TUNED = tuple((way, layout, "benchmark") for way, layout, _ in FRAMEWORK)

# Of each way, the microseconds of each computation.
Ways = dict[tuple, dict[str, float]]


def read(path: Path) -> list[Row]:
    """Rows without those that failed, such as for want of memory."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "failed" not in row]


def figures(rows: list[Row], figure: str) -> list[tuple[dict, Row]]:
    return [(row["of"], row) for row in rows if row["of"]["figure"] == figure]


def dtype_of(of: dict) -> str:
    return of["dtype"].removeprefix("torch.")


def convolutions(rows: list[Row]) -> dict[tuple[str, int, str], Ways]:
    """By dtype, side of the kernel and map, the ways whose computations are all known.

    Of a computation that was measured twice, the later one.
    """
    found = {}
    for of, row in figures(rows, "convolution"):
        call = dtype_of(of), of["kernel"], of["map"]
        way = of["way"], of["format"], of.get("cudnn")
        times = found.setdefault(call, {}).setdefault(way, {})
        times[of["computation"]] = row.get("graph", row["eager"])
    whole = {
        call: {way: times for way, times in ways.items() if len(times) == len(COMPUTATIONS)}
        for call, ways in found.items()
    }
    return {call: ways for call, ways in whole.items() if {BAND, *FRAMEWORK} <= ways.keys()}


def times_faster(ways: Ways) -> float:
    """The band, than the framework in its best format, all computations together."""
    sums = {way: sum(times.values()) for way, times in ways.items()}
    return min(sums[way] for way in sums if way != BAND) / sums[BAND]


def smallest_kernel(rows: list[Row], dtype: str) -> int | None:
    """The side from which on the band is the fastest for every measured kernel, on every map."""
    slowest = {}
    for (of_dtype, kernel, _), ways in convolutions(rows).items():
        if of_dtype == dtype:
            slowest[kernel] = min(times_faster(ways), slowest.get(kernel, float("inf")))
    smallest = None
    for kernel, times in sorted(slowest.items(), reverse=True):
        if times < 1:
            break
        smallest = kernel
    return smallest
