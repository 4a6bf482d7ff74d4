"""Measure which way of a depthwise convolution is the fastest for which sizes.

    python tools/analysis_tools/measure_crossovers.py
    python tools/analysis_tools/measure_crossovers.py --device cuda    # a GPU

Prints the times and the tables of mmdcls/dcls/conv/crossovers.py for this machine. Options for a
GPU are those of measure_crossovers_gpu.py; --help lists them.
"""

import argparse
from functools import partial
from itertools import product
from statistics import median

import torch
from tqdm import tqdm

from mmdcls.analysis.timing import in_turns
from mmdcls.dcls.conv.framework import plain
from mmdcls.dcls.conv.layout import laid_out
from mmdcls.dcls.conv.ways import VOLUME_WAYS, WAYS

MAPS = (8, 16, 32, 64, 128, 256)
KERNELS = (3, 5, 7, 9, 11, 13, 17, 23, 31, 41, 51, 63)
# As many values in every map, up to the channels of the last stage of a ConvNeXt-T.
VALUES, MOST_CHANNELS = 96 * 128 * 128, 768
# Of volumes: side, taps along the first axis, side of the kernel's planes.
VOLUMES, TAPS, PLANES = (8, 16, 32), (1, 3, 5), (1, 2, 3, 5, 9)
# A way is not run again for larger kernels once it is this many times slower than the fastest.
HOPELESS = 8


def main(arguments: list[str] | None = None) -> None:
    devices = argparse.ArgumentParser(add_help=False)
    devices.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parsed, rest = devices.parse_known_args(arguments)
    if parsed.device == "cuda":
        from measure_crossovers_gpu import main as measure_gpu

        measure_gpu(rest)
    else:
        measure_cpu(rest)


def measure_cpu(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=7)
    parsed = parser.parse_args(arguments)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {parsed.dtype}")
    for computation in WAYS:
        times = {
            side: measure(computation, side, getattr(torch, parsed.dtype), parsed.repeats)
            for side in tqdm(MAPS, desc=computation, unit="map")
        }
        report(computation, times)
    for computation in VOLUME_WAYS:
        sizes = tqdm(list(product(VOLUMES, TAPS, PLANES)), desc=computation, unit="size")
        times = {
            size: measure_volume(computation, *size, getattr(torch, parsed.dtype), parsed.repeats)
            for size in sizes
        }
        report_volumes(computation, times)


def measure(
    computation: str, side: int, dtype: torch.dtype, repeats: int
) -> dict[int, dict[str, float]]:
    """Median milliseconds by kernel side and way."""
    channels = min(VALUES // side**2, MOST_CHANNELS)
    x = torch.randn(1, channels, side, side).to(dtype, memory_format=torch.channels_last)
    hopeless, times = set(), {}
    for kernel_size in KERNELS:
        padding = [kernel_size // 2] * 2
        kernel = torch.randn(channels, 1, kernel_size, kernel_size).to(dtype)
        if computation == "values":
            arguments = (x, kernel, None, [1, 1], padding)
        else:
            arguments = (torch.randn_like(x), x, [kernel_size] * 2, padding)
        runs = {
            name: partial(way.run, *arguments)
            for name, way in WAYS[computation].items()
            if name not in hopeless
        }
        seconds = in_turns(runs, repeats)
        times[kernel_size] = {name: 1e3 * median(values) for name, values in seconds.items()}
        best = min(times[kernel_size].values())
        hopeless |= {
            name for name, t in times[kernel_size].items() if t > HOPELESS * best and name != "fft"
        }
    return times


def measure_volume(
    computation: str, side: int, taps: int, plane: int, dtype: torch.dtype, repeats: int
) -> dict[str, float]:
    """Median milliseconds by way."""
    channels, kernel_size = min(VALUES // side**3, MOST_CHANNELS), [taps, plane, plane]
    padding = [size // 2 for size in kernel_size]
    x = laid_out(torch.randn(1, channels, side, side, side).to(dtype))
    kernel = torch.randn(channels, 1, *kernel_size).to(dtype)
    grad = torch.randn_like(plain(x, kernel, None, 1, padding, channels))
    arguments = {
        "values": (x, kernel, None, [1, 1, 1], padding),
        "kernel_gradient": (laid_out(grad), x, kernel_size, padding),
    }[computation]
    runs = {name: partial(way.run, *arguments) for name, way in VOLUME_WAYS[computation].items()}
    seconds = in_turns(runs, repeats)
    return {name: 1e3 * median(values) for name, values in seconds.items()}


def report_volumes(computation: str, times: dict[tuple[int, int, int], dict[str, float]]) -> None:
    print(f"\n{computation} of volumes, ms")
    for (side, taps, plane), ways in times.items():
        row = "".join(f"  {name} {ways[name]:8.2f}" for name in ways)
        print(f"volume {side:2d}, kernel {taps}x{plane}x{plane}:{row}")
    by_plane = {
        plane: {
            name: sum(ways[name] for size, ways in times.items() if size[2] == plane)
            for name in VOLUME_WAYS[computation]
        }
        for plane in PLANES
    }
    print(f"TAPS_FROM = {smallest_kernel(by_plane, 'taps')}".replace("None", "NEVER"))


def report(computation: str, times: dict[int, dict[int, dict[str, float]]]) -> None:
    print(f"\n{computation}, ms")
    for side, by_kernel in times.items():
        for kernel_size, ways in by_kernel.items():
            row = "".join(f"  {name} {ways[name]:8.2f}" for name in ways)
            print(f"map {side:3d}, kernel {kernel_size:2d}:{row}")
    fft_from = {side: smallest_kernel(by_kernel, "fft") for side, by_kernel in times.items()}
    print(f'FFT_FROM["{computation}"] = {fft_from}'.replace("None", "NEVER"))
    if computation == "kernel_gradient":
        largest = {
            side: largest_kernel(by_kernel, "framework") for side, by_kernel in times.items()
        }
        print(f"FRAMEWORK_UP_TO, by map: {largest}")


def smallest_kernel(times: dict[int, dict[str, float]], name: str) -> int | None:
    """The side from which on `name` is the fastest for every measured kernel."""
    smallest = None
    for kernel_size, ways in reversed(times.items()):
        if min(ways, key=ways.get) != name:
            break
        smallest = kernel_size
    return smallest


def largest_kernel(times: dict[int, dict[str, float]], name: str) -> int:
    """The side up to which `name` is the fastest for every measured kernel."""
    largest = 0
    for kernel_size, ways in times.items():
        if min(ways, key=ways.get) != name:
            break
        largest = kernel_size
    return largest


if __name__ == "__main__":
    main()
