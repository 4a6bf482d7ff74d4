"""Time DCLS beside its peers, in one run, and draw what it finds.

    python tools/analysis_tools/benchmark.py [--device cpu]

Peers: the published layers (PyPI dcls==0.1.1) in the same blocks, a plain 7x7 ConvNeXt of the same
blocks, and F.conv2d for the convolution alone; the published layers in both memory formats, the
others in the faster one. Everything is run in turns; medians, with the fastest and the slowest run
in brackets.
"""

import argparse
import datetime
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from benchmark_peers import OURS, PLAIN, InFormat, backbones
from benchmark_report import draw, report
from benchmark_timing import (
    in_turns,
    time_backbones,
    time_construction,
    time_convolutions,
    training_step,
)
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from mmdcls.dcls import eager
from mmdcls.models import DclsConvNeXt
from mmdcls.study.surroundings import processor_name


def peak_memory(names: list[str], arch: str, size: int) -> dict[str, float]:
    """Megabytes of a fresh process after two training steps, libraries included."""
    peaks = {}
    for name in tqdm(names, desc="peak memory"):
        command = [sys.executable, __file__, "--peak", name, "--size", str(size), "--arch", arch]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[name] = float(done.stdout.split()[-1])
    return peaks


def print_peak(name: str, arch: str, size: int) -> None:
    model = backbones(arch)[name]()
    for _ in range(2):
        training_step(model, torch.randn(1, 3, size, size))
    # The kernel's own count of this program; getrusage() counts in the parent, before exec.
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (row for row in status if row.startswith("VmHWM"))
    print(int(line.split()[1]) / 1024)


def lower_bound(arch: str | dict, size: int) -> dict[str, float]:
    """The step's floating-point operations, at the speed of the best matrix product here."""
    model, image = DclsConvNeXt(arch), torch.randn(1, 3, size, size)
    # Dense kernels first, so that the operators count as the convolutions that they are.
    for stage in model.stages:
        shares = stage.shares()
        for block in stage.children():
            conv = block.dwconv.to_conv(shares)
            block.dwconv, stage.positions = InFormat(conv, torch.channels_last), None
    with FlopCounterMode(display=False) as counter:
        model(image)
    speeds = []
    for rows, inner, columns in ((16384, 96, 384), (4096, 192, 768), (1024, 384, 1536)):
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        seconds = in_turns({"": lambda: left @ right}, 30, f"{rows} x {inner} x {columns}")[""]  # noqa: B023
        speeds.append(2 * rows * inner * columns / median(seconds))
    # As much again for the gradient of every input, and of every weight; the counter itself takes
    # the backward pass of a depthwise convolution for that of a dense one.
    operations = 3 * counter.get_total_flops()
    return dict(operations=operations, speed=max(speeds), seconds=operations / max(speeds))


# What the profiler counts to which part of a step.
PARTS = {
    "matrix products": ("aten::mm", "aten::addmm"),
    "depthwise, values and input": ("mmdcls::depthwise_conv2d",),
    "depthwise, kernel gradient": ("mmdcls::depthwise_conv2d_kernel_gradient",),
    "kernel construction": ("aten::bmm", "aten::scatter_add", "aten::gather"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "LayerNorm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "convolutions of the framework": ("aten::convolution", "aten::convolution_backward"),
}


def parts_of_a_step(model: nn.Module, image: Tensor) -> dict[str, float]:
    """Milliseconds by part; what an operator calls belongs to it."""
    model.train()
    training_step(model, image)
    # Operators are seen where they are entered.
    entered = patch.object(eager, "DEVICES", ())
    with entered, profile(activities=[ProfilerActivity.CPU]) as profiler:
        training_step(model, image)
    outermost = [
        event
        for event in profiler.events()
        if event.name in sum(PARTS.values(), ()) and not inside(event)
    ]
    parts = {
        part: sum(e.cpu_time_total for e in outermost if e.name in names) / 1e3
        for part, names in PARTS.items()
    }
    whole = sum(event.self_cpu_time_total for event in profiler.events()) / 1e3
    return {**parts, "everything else": whole - sum(parts.values())}


def inside(event) -> bool:
    """Whether an operator of PARTS called this one."""
    parent = event.cpu_parent
    while parent is not None:
        if parent.name in sum(PARTS.values(), ()):
            return True
        parent = parent.cpu_parent
    return False


def measure(arch: str, size: int, channels: int, side: int, repeats: int, compiled: bool) -> dict:
    times = time_backbones(arch, size, repeats, compiled)
    # Peers, in the format in which their step was the faster.
    image = torch.randn(1, 3, size, size)
    made = backbones(arch)
    plain_format = f"{PLAIN}, channels_last"
    return dict(
        date=str(datetime.date.today()),
        machine=machine(),
        backbone=f"{arch}, one image of {size}x{size}",
        convolution=f"(1, {channels}, {side}, {side})",
        **times,
        construction=time_construction(4 * channels, repeats),
        convolutions=time_convolutions(channels, side, repeats),
        memory=peak_memory(list(made), arch, size),
        bound=lower_bound(arch, size),
        parts={
            OURS: parts_of_a_step(made[OURS](), image),
            PLAIN: parts_of_a_step(made[plain_format](), image),
        },
    )


def machine() -> dict[str, str]:
    return dict(
        processor=processor_name(),
        threads=str(torch.get_num_threads()),
        torch=torch.__version__,
        dcls=version("dcls"),
        python=platform.python_version(),
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", default="tiny")
    parser.add_argument("--size", type=int, default=512, help="side of the image")
    parser.add_argument("--channels", type=int, default=96, help="of the convolution alone")
    parser.add_argument("--side", type=int, default=128, help="of the convolution alone")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/benchmark"))
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    if parsed.peak:
        print_peak(parsed.peak, parsed.arch, parsed.size)
        return
    result = measure(
        parsed.arch,
        parsed.size,
        parsed.channels,
        parsed.side,
        parsed.repeats,
        not parsed.no_compile,
    )
    draw(result, parsed.out / "images")
    (parsed.out / "benchmarks.json").write_text(json.dumps(result, indent=1))
    text = report(result)
    (parsed.out / "benchmarks.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
