"""What was aimed at on a GPU, and what the card showed."""

from collections.abc import Iterator
from itertools import chain

from benchmark_convnext import ARCH, GAUSSIAN, OURS, PLAIN
from benchmark_gpu_rows import Row, convolutions, dtype_of, figures, times_faster

BLOCKS = sum(ARCH["cuda"]["depths"])
BFLOAT16, CROP = "torch.bfloat16", 512
# Relative errors that differ by less are of the same rounding.
SAME_ROUNDING = 1.05


def aims(rows: list[Row], fastest_from: dict[str, int]) -> list[tuple[str, str, str]]:
    """Each aim, what was measured and whether it is met.

    fastest_from: of a dtype, the side of the kernels that the band is chosen from.
    """
    return list(
        chain(step_aims(rows), convolution_aims(rows, fastest_from), construction_aim(rows))
    ) + [memory_aim(rows), error_aim(rows)]


def judged(aim: str, measured: float | None, is_met: bool, text: str = "") -> tuple[str, str, str]:
    if measured is None:
        return aim, "", "not measured"
    return aim, text or f"{measured:.2f}", "yes" if is_met else "no"


def steps(rows: list[Row], kind: str) -> list[Row]:
    """In bfloat16, of two crops."""
    return [
        row
        for of, row in figures(rows, "step")
        if of["kind"].partition(", ")[0] == kind
        and (of["dtype"], of["batch"], of["side"], of["framework"]) == (BFLOAT16, 2, CROP, False)
    ]


def step_of(rows: list[Row], kind: str, what: str) -> float | None:
    """what: a key of a row. Of the plain network the best that was measured beside it."""
    return min((row[what] for row in steps(rows, kind) if what in row), default=None)


def ratio(rows: list[Row], kind: str, what: str) -> float | None:
    ours, plain = (step_of(rows, one, what) for one in (kind, PLAIN))
    return ours / plain if ours and plain else None


def step_aims(rows: list[Row]) -> Iterator[tuple[str, str, str]]:
    for kind, how, limit in (
        (OURS, "graph", 1.10),
        (OURS, "graph", 1.00),
        (OURS, "eager", 1.10),
        (GAUSSIAN, "graph", 1.20),
        (GAUSSIAN, "eager", 1.20),
    ):
        found = ratio(rows, kind, how)
        launched = "as a CUDA graph" if how == "graph" else "launched by Python"
        aim = f"step of {kind}, {launched}: at most {limit:.2f} of plain 7x7"
        yield judged(aim, found, found is not None and found <= limit)


def convolution_aims(
    rows: list[Row], fastest_from: dict[str, int]
) -> Iterator[tuple[str, str, str]]:
    calls = {call: times_faster(ways) for call, ways in convolutions(rows).items()}
    first = calls.get(("bfloat16", 17, "stage1"))
    aim = "17x17 convolution at (2, 96, 128, 128), values and gradients: 5 times faster"
    yield judged(aim, first, first is not None and first >= 5, first and f"{first:.1f} times")
    chosen = [
        times
        for (dtype, kernel, _), times in calls.items()
        if kernel >= fastest_from.get(dtype, float("inf"))
    ]
    least = min(chosen, default=None)
    aim = "never slower than the framework where the band is chosen"
    text = f"{least:.1f} times faster at least, of {len(chosen)} sizes" if chosen else ""
    yield judged(aim, least, bool(chosen) and least >= 1, text)


def construction_aim(rows: list[Row]) -> Iterator[tuple[str, str, str]]:
    aim = "construction: under 3 % of the step"
    step = step_of(rows, OURS, "graph")
    whole = [
        row["graph"] for of, row in figures(rows, "construction of a step") if of["kind"] == OURS
    ]
    layer = [
        row["graph"]
        for of, row in figures(rows, "construction")
        if of["kind"] == "bilinear" and not of["framework"]
    ]
    if step and whole:
        share = whole[-1] / step
        yield judged(aim, share, share < 0.03, f"{100 * share:.1f} %")
    elif step and layer:
        # Every layer built its shares there, which layers of a stage have together.
        bound = BLOCKS * layer[-1] / step
        text = f"under {100 * bound:.0f} %, {BLOCKS} times that of a layer"
        yield aim, text, "yes" if bound < 0.03 else "not shown"
    else:
        yield judged(aim, None, False)


def memory_aim(rows: list[Row]) -> tuple[str, str, str]:
    found = ratio(rows, OURS, "megabytes")
    aim = "peak memory of a step: at most 1.05 of plain 7x7"
    return judged(aim, found, found is not None and found <= 1.05)


def error_aim(rows: list[Row]) -> tuple[str, str, str]:
    worse = {}
    for of, row in figures(rows, "errors"):
        for computation, error in row["band"].items():
            times = error / row["framework"][computation]
            worse[dtype_of(of)] = max(times, worse.get(dtype_of(of), 0.0))
    text = ", ".join(f"{dtype} {times:.2f} of it" for dtype, times in worse.items())
    most = max(worse.values(), default=None)
    aim = "errors against float64: no larger than the framework's"
    return judged(aim, most, most is not None and most <= SAME_ROUNDING, text)
