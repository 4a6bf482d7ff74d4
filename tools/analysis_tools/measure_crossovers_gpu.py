"""Find from which kernel on the band is the fastest way of a depthwise convolution on a GPU.

    python tools/analysis_tools/measure_crossovers.py --device cuda

Prints the row of BAND_FROM of mmdcls/dcls/conv/crossovers.py for this card. Figures are those of
benchmark_gpu.py, in the same file: what either has measured the other does not measure again, and a
run that was cut off goes on where it stopped.
"""

from collections.abc import Iterator

from benchmark_gpu import BFLOAT16, FLOAT, HALF, Benchmark, measured
from benchmark_gpu_rows import convolutions, smallest_kernel

# Next to the crossovers that were found so far come first.
KERNELS = (9, 7, 11, 5, 13, 17, 23, 31, 42)


def stages(benchmark: Benchmark) -> Iterator[str]:
    for kernel_size in KERNELS:
        for dtype in (BFLOAT16, FLOAT, HALF):
            benchmark.convolutions((kernel_size,), dtype)
        yield f"{kernel_size}x{kernel_size}"


def main(arguments: list[str] | None = None) -> None:
    figures = measured(__doc__, arguments, stages)
    print(report([row for row in figures.rows.values() if "failed" not in row]))


def report(rows: list[dict]) -> str:
    known = sorted({(dtype, kernel) for dtype, kernel, _ in convolutions(rows)})
    lines = [f"measured: {', '.join(f'{dtype} {kernel}x{kernel}' for dtype, kernel in known)}"]
    environment = next((row for row in rows if row["of"]["figure"] == "environment"), {})
    found = {dtype: smallest_kernel(rows, dtype) for dtype, _ in known}
    sides = ", ".join(f"torch.{dtype}: {side}" for dtype, side in found.items() if side)
    capability = tuple(environment.get("capability", ()))
    return "\n".join([*lines, f"BAND_FROM[{capability}] = {{{sides}}}"])


if __name__ == "__main__":
    main()
