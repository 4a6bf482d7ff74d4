"""Print what benchmark_gpu.py found as the section of a machine in docs/benchmarks.md.

python tools/analysis_tools/benchmark_gpu_report.py work_dirs/benchmark/gpu.jsonl
"""

import argparse
from pathlib import Path

from benchmark_gpu_aims import CROP, aims
from benchmark_gpu_rows import (
    BAND,
    COMPUTATIONS,
    FRAMEWORK,
    TUNED,
    Row,
    convolutions,
    dtype_of,
    figures,
    read,
    times_faster,
)

from mmdcls.dcls.conv.crossovers import BAND_FROM

VERSIONS = ("before", "now")
STEP_HEADER = (
    *("step", "dtype", "batch", "eager, ms", "ratio"),
    *("graph, ms", "ratio", "MB", "ratio"),
)


def table(header: tuple[str, ...], lines: list[tuple]) -> list[str]:
    shown = [header, tuple("---" for _ in header), *lines]
    return [*("| " + " | ".join(map(str, line)) + " |" for line in shown), ""]


def optional(text: str, header: tuple[str, ...], lines: list[tuple]) -> list[str]:
    return [text, "", *table(header, lines)] if lines else []


def step_lines(rows: list[Row], figure: str = "step") -> list[tuple]:
    def run_of(of: dict) -> tuple:
        return of["dtype"], of["batch"], str(of["side"])

    steps = figures(rows, figure)
    plain = {run_of(of): row for of, row in reversed(steps) if of["kind"].startswith("plain")}
    lines = []
    for of, row in steps:
        beside = plain.get(run_of(of), {})
        cells = [kind_of(of), dtype_of(of), of["batch"]]
        for how, unit, digits in (("eager", 1e3, 2), ("graph", 1e3, 2), ("megabytes", 1, 0)):
            value = row.get(how)
            cells.append("" if value is None else f"{value / unit:.{digits}f}")
            known = value is not None and how in beside
            cells.append(f"{value / beside[how]:.2f}" if known else "")
        lines.append(tuple(cells))
    return lines


def kind_of(of: dict) -> str:
    """In words, with what differs from the other rows."""
    kind = of["kind"] + (", the framework's ways" if of.get("framework") else "")
    kind += ", cudnn.benchmark" if of.get("cudnn") else ""
    kind += ", backbone as graphs" if of.get("graphed") else ""
    side = of["side"]
    return kind if side == CROP else f"{kind}, {side[0]}x{side[1]}"


def convolution_lines(rows: list[Row]) -> list[tuple]:
    return [
        (
            *named(call),
            *(summed(ways[way]) for way in (BAND, *FRAMEWORK)),
            f"{times_faster(ways):.1f}",
        )
        for call, ways in sorted(convolutions(rows).items())
    ]


def tuned_lines(rows: list[Row]) -> list[tuple]:
    return [
        (*named(call), *(summed(ways[way]) for way in TUNED))
        for call, ways in sorted(convolutions(rows).items())
        if set(TUNED) <= ways.keys()
    ]


def named(call: tuple[str, int, str]) -> tuple[str, str, str]:
    dtype, kernel, size = call
    return dtype, f"{kernel}x{kernel}", size


def summed(times: dict[str, float]) -> str:
    return " + ".join(f"{times[computation]:.0f}" for computation in COMPUTATIONS)


def error_lines(rows: list[Row]) -> list[tuple]:
    return [
        (
            *named((dtype_of(of), of["kernel"], of["map"])),
            *(
                ", ".join(f"{row[way][computation]:.1e}" for computation in COMPUTATIONS)
                for way in ("band", "framework")
            ),
        )
        for of, row in figures(rows, "errors")
    ]


def construction_lines(rows: list[Row]) -> list[tuple]:
    lines = [
        (f"a layer, {of['kind']}", "the framework" if of["framework"] else "Triton", row)
        for of, row in figures(rows, "construction")
    ]
    lines += [
        (f"the backbone, {of['kind']}", "Triton", row)
        for of, row in figures(rows, "construction of a step")
    ]
    return [(*names, f"{row['eager']:.0f}", f"{row['graph']:.0f}") for *names, row in lines]


def share_lines(rows: list[Row]) -> list[tuple]:
    """Now, and of rows that name it the version before."""
    found = {}
    for of, row in figures(rows, "kernel from shares"):
        kernel = of["channels"], f"{of['kernel']}x{of['kernel']}/{of['count']}"
        found.setdefault(kernel, {})[of["computation"], of.get("version", "now")] = row["graph"]
    columns = [(c, v) for c in ("values", "gradients") for v in VERSIONS]
    return [
        (*kernel, *(f"{times[name]:.1f}" if name in times else "" for name in columns))
        for kernel, times in found.items()
    ]


def inference_lines(rows: list[Row]) -> list[tuple]:
    lines = []
    for of, row in figures(rows, "inference"):
        times = (f"{row[how] / 1e3:.2f}" if how in row else "" for how in ("eager", "graph"))
        lines.append((of["kind"], of["form"], *times))
    return lines


def convolution_table(rows: list[Row]) -> list[str]:
    return optional(
        "Convolutions alone, microseconds in a graph: values + gradient of the input + gradient of "
        "the kernel. The last column is how many times faster the band is than the framework in "
        "its better format, all three together.",
        ("dtype", "kernel", "map", "band", "framework, NHWC", "framework, NCHW", "times"),
        convolution_lines(rows),
    )


def section(rows: list[Row]) -> str:
    (_, machine), *_ = figures(rows, "environment")
    made_by = (
        f"on {machine['date']}: torch {machine['torch']}, Triton {machine['triton']}, cuDNN "
        f"{machine['cudnn']}."
    )
    if not figures(rows, "step"):
        title = f"## Where the band is chosen: {machine['gpu']}"
        return "\n".join([title, "", f"Measured {made_by}", "", *convolution_table(rows)])
    measured = BAND_FROM.get(tuple(machine["capability"]), {})
    fastest_from = {str(dtype).removeprefix("torch."): side for dtype, side in measured.items()}
    text = [
        f"## On a GPU: {machine['gpu']}",
        "",
        f"Made by `tools/analysis_tools/benchmark.py --device cuda` {made_by} A step is the "
        f"forward and the backward pass of a ConvNeXt-T of plain PyTorch, channels_last, under "
        f"autocast where it is not float32, at 512x512 unless said; eager is with Python launching "
        f"every kernel, graph the replay of a CUDA graph. Ratios are to the plain 7x7 of the same "
        f"dtype, batch and size of the same run.",
        "",
        "In bfloat16, with two images of 512x512:",
        "",
        *table(("aim", "measured", "met"), aims(rows, fastest_from)),
        *table(STEP_HEADER, step_lines(rows)),
        *optional(
            "The same of a whole UPerNet of mmseg, with its losses.",
            STEP_HEADER,
            step_lines(rows, "upernet"),
        ),
        *optional(
            "Iterations of it in a row, with AdamW, launched by Python, and with the backbone as "
            "graphs; by what, `benchmarks/README.md` tells. Ratios are to plain 7x7 without.",
            STEP_HEADER,
            step_lines(rows, "iteration of UPerNet"),
        ),
        *convolution_table(rows),
        *optional(
            "The framework with `cudnn.benchmark`.",
            ("dtype", "kernel", "map", "NHWC", "NCHW"),
            tuned_lines(rows),
        ),
        *optional(
            "Relative errors of the same three against float64.",
            ("dtype", "kernel", "map", "band", "framework"),
            error_lines(rows),
        ),
        "Construction with its gradient: of the kernel of a layer of 384 channels, 17x17/34, and "
        "of all shares and kernels of a backbone.",
        "",
        *table(("of", "by", "eager, us", "graph, us"), construction_lines(rows)),
        *optional(
            "Of it a kernel from its shares, microseconds in a graph. Steps and constructions "
            "above are with the version before, where there is one.",
            (
                "channels",
                "kernel",
                *(f"{c}, {v}" for c in ("values", "gradients") for v in VERSIONS),
            ),
            share_lines(rows),
        ),
        *optional(
            "Inference in bfloat16, two images of 512x512.",
            ("network", "form", "eager, ms", "graph, ms"),
            inference_lines(rows),
        ),
    ]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    for path in parser.parse_args().files:
        print(section(read(path)))


if __name__ == "__main__":
    main()
