"""Find from which kernel on the band is the fastest way of a depthwise convolution on a GPU.

    python tools/analysis_tools/measure_crossovers.py --device cuda

Prints the row of BAND_FROM of mmdcls/dcls/conv/crossovers.py for this card. Figures are those of
benchmark_gpu.py, in the same file: what either has measured the other does not measure again, and a
run that was cut off goes on where it stopped.
"""

import argparse

import torch
from benchmark_gpu import BFLOAT16, FLOAT, HALF, Benchmark, Figures, add_options
from benchmark_gpu_rows import convolutions, smallest_kernel
from tqdm import tqdm

# Next to the crossovers that were found so far come first.
KERNELS = (9, 7, 11, 5, 13, 17, 23, 31, 42)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    parsed = parser.parse_args(arguments)
    torch.manual_seed(0)
    figures = Figures(parsed.out / "gpu.jsonl", parsed.seconds)
    try:
        benchmark = Benchmark(figures, "cpu" if parsed.dry else "cuda")
        for kernel_size in tqdm(KERNELS, unit="kernel"):
            for dtype in (BFLOAT16, FLOAT, HALF):
                benchmark.convolutions((kernel_size,), dtype)
    except TimeoutError:
        print(f"{parsed.seconds:.0f} seconds are over; run it again for the rest")
    print(report([row for row in figures.rows.values() if "failed" not in row]))


def report(rows: list[dict]) -> str:
    measured = sorted({(dtype, kernel) for dtype, kernel, _ in convolutions(rows)})
    lines = [f"measured: {', '.join(f'{dtype} {kernel}x{kernel}' for dtype, kernel in measured)}"]
    environment = next((row for row in rows if row["of"]["figure"] == "environment"), {})
    found = {dtype: smallest_kernel(rows, dtype) for dtype, _ in measured}
    sides = ", ".join(f"torch.{dtype}: {side}" for dtype, side in found.items() if side)
    capability = tuple(environment.get("capability", ()))
    return "\n".join([*lines, f"BAND_FROM[{capability}] = {{{sides}}}"])


if __name__ == "__main__":
    main()
