"""Print what benchmark_gpu.py found as the section of a machine in docs/benchmarks.md.

python tools/analysis_tools/benchmark_gpu_report.py work_dirs/benchmark/gpu.jsonl
"""

import argparse
import json
from pathlib import Path

Row = dict
COMPUTATIONS = ("values", "input_gradient", "kernel_gradient")
WAYS = (("band", "NHWC"), ("framework", "NHWC"), ("framework", "NCHW"))

# Of rows that name them.
VERSIONS = (
    "Kernels: in the second, several rows of outputs share a window, and kernel and bias need no "
    "cast. Rows that say nothing are of the framework's ways, or of the first. Eager times of the "
    "second are left out, since other programs kept the processors busy.",
    "",
)


def read(path: Path) -> list[Row]:
    """Rows without those that failed, such as for want of memory."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "failed" not in row]


def figures(rows: list[Row], figure: str) -> list[tuple[dict, Row]]:
    return [(row["of"], row) for row in rows if row["of"]["figure"] == figure]


def table(header: tuple[str, ...], lines: list[tuple]) -> list[str]:
    shown = [header, tuple("---" for _ in header), *lines]
    return [*("| " + " | ".join(map(str, line)) + " |" for line in shown), ""]


def dtype_of(of: dict) -> str:
    return of["dtype"].removeprefix("torch.")


def step_lines(rows: list[Row]) -> list[tuple]:
    def run_of(of: dict) -> tuple:
        return of["dtype"], of["batch"], of["side"], of.get("kernels")

    steps = figures(rows, "step")
    plain = {run_of(of): row for of, row in steps if of["kind"].startswith("plain")}
    lines = []
    for of, row in steps:
        beside = plain.get(run_of(of))
        kind = of["kind"] + (", the framework's ways" if of["framework"] else "")
        cells = [kind, of.get("kernels", ""), dtype_of(of), of["batch"]]
        for how in ("eager", "graph"):
            if how not in row:
                cells += ["", ""]
                continue
            known = beside is not None and how in beside
            ratio = f"{row[how] / beside[how]:.2f}" if known else ""
            cells += [f"{row[how] / 1e3:.2f}", ratio]
        known = beside is not None
        ratio = f"{row['megabytes'] / beside['megabytes']:.2f}" if known else ""
        lines.append((*cells, f"{row['megabytes']:.0f}", ratio))
    return lines


def convolution_lines(rows: list[Row]) -> list[tuple]:
    found = {}
    for of, row in figures(rows, "convolution"):
        call = dtype_of(of), of["kernel"], of["map"]
        way = of["way"], of["format"]
        found.setdefault(call, {}).setdefault(way, {})[of["computation"]] = row.get(
            "graph", row["eager"]
        )
    lines = []
    for (dtype, kernel, name), ways in sorted(found.items()):
        whole = {way: times for way, times in ways.items() if len(times) == len(COMPUTATIONS)}
        if len(whole) < len(WAYS):
            continue
        cells = [
            " + ".join(f"{whole[way][computation]:.0f}" for computation in COMPUTATIONS)
            for way in WAYS
        ]
        best = min(sum(whole[way].values()) for way in WAYS[1:])
        lines.append(
            (
                dtype,
                f"{kernel}x{kernel}",
                name,
                *cells,
                f"{best / sum(whole[WAYS[0]].values()):.1f}",
            )
        )
    return lines


def section(rows: list[Row]) -> str:
    (_, machine), *_ = figures(rows, "environment")
    text = [
        f"## On a GPU: {machine['gpu']}",
        "",
        f"Made by `tools/analysis_tools/benchmark.py --device cuda` on {machine['date']}: torch "
        f"{machine['torch']}, Triton {machine['triton']}, cuDNN {machine['cudnn']}. A step is the "
        f"forward and the backward pass of a ConvNeXt-T of plain PyTorch, channels_last, under "
        f"autocast where it is not float32, at 512x512; eager is with Python launching every "
        f"kernel, graph the replay of a CUDA graph. Ratios are to the plain 7x7 of the same dtype "
        f"and batch of the same run.",
        "",
        *(VERSIONS if any("kernels" in row["of"] for row in rows) else ()),
        *table(
            (
                "step",
                "kernels",
                "dtype",
                "batch",
                "eager, ms",
                "ratio",
                "graph, ms",
                "ratio",
                "MB",
                "ratio",
            ),
            step_lines(rows),
        ),
        "Convolutions alone, microseconds in a graph: values + gradient of the input + gradient of "
        "the kernel. The last column is how many times faster the band is than the framework in "
        "its better format, all three together.",
        "",
        *table(
            ("dtype", "kernel", "map", "band", "framework, NHWC", "framework, NCHW", "times"),
            convolution_lines(rows),
        ),
        "Construction of the kernel of a layer of 384 channels, 17x17/34, with its gradient.",
        "",
        *table(
            ("interpolation", "by", "eager, us", "graph, us"),
            [
                (
                    of["kind"],
                    "the framework" if of["framework"] else "Triton",
                    f"{row['eager']:.0f}",
                    f"{row['graph']:.0f}",
                )
                for of, row in figures(rows, "construction")
            ],
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
