"""Time DCLS beside its peers, in one run, and draw what it finds.

    python tools/analysis_tools/benchmark.py

Peers: the published layers (PyPI dcls==0.1.1) in the same blocks, a plain 7x7 ConvNeXt of the same
blocks, and F.conv2d for the convolution alone; the published layers in both memory formats, the
others in the faster one. Everything is run in turns; medians, with the fastest and the slowest run
in brackets.
"""

import argparse
import datetime
import json
import logging
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from benchmark_report import GAUSSIAN, OURS, PLAIN, draw, faster_format, report
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from mmdcls.dcls import Dcls2d
from mmdcls.dcls.conv.operators import depthwise
from mmdcls.models import DclsConvNeXt

FORMATS = dict(NCHW=torch.contiguous_format, channels_last=torch.channels_last)
KERNELS = (7, 17, 31, 51, 63)
# After this many runs, what takes longer than SLOW seconds sits out.
FEW, SLOW = 3, 2.0


class InFormat(nn.Module):
    """A convolution that stands in for a block's DCLS layer, run in one memory format."""

    def __init__(self, conv: nn.Module, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.conv, self.memory_format = conv, memory_format

    def forward(self, x: Tensor, shares: None = None) -> Tensor:
        return self.conv(x.contiguous(memory_format=self.memory_format))


def published(version: str, kernel_size: int = 17) -> Callable[[int], nn.Module]:
    from DCLS.construct import modules

    def layer(channels: int) -> nn.Module:
        # Every layer warns that there is no CUDA extension.
        logging.disable(logging.WARNING)
        try:
            return modules.Dcls2d(
                channels,
                channels,
                34,
                padding=kernel_size // 2,
                dilated_kernel_size=kernel_size,
                groups=channels,
                version=version,
                use_implicit_gemm=False,
            )
        finally:
            logging.disable(logging.NOTSET)

    return layer


def plain(channels: int) -> nn.Module:
    return nn.Conv2d(channels, channels, 7, padding=3, groups=channels)


def with_convolutions(arch: str | dict, layer: Callable, memory_format) -> nn.Module:
    """The backbone with other depthwise convolutions in its blocks."""
    backbone = DclsConvNeXt(arch, kernel_count=1, share_positions=False)
    for stage in backbone.stages:
        shared = None
        for block in stage.children():
            conv = layer(block.dwconv.in_channels)
            # The published backbones share positions within a stage, as ours does.
            for name in ("P", "SIG"):
                if getattr(conv, name, None) is not None:
                    shared = shared or conv
                    setattr(conv, name, getattr(shared, name))
            block.dwconv = InFormat(conv, memory_format)
    return backbone


def spread(model: nn.Module) -> nn.Module:
    """Put the elements all over the kernel, as far from their first places as training could."""
    for module in model.modules():
        positions = getattr(module, "positions", None)
        if positions is not None:
            for row, size in zip(positions.data, module.kernel_size, strict=True):
                row.uniform_(-(size // 2), (size - 1) // 2)
    return model


def backbones(arch: str | dict) -> dict[str, Callable[[], nn.Module]]:
    """How each backbone is made; a peer once for every memory format."""
    gaussian = dict(kernel_size=23, kernel_count=26, interpolation="gaussian")
    made = {
        OURS: lambda: spread(DclsConvNeXt(arch)),
        GAUSSIAN: lambda: spread(DclsConvNeXt(arch, **gaussian)),
    }
    peers = {PLAIN: plain, **{f"dcls {v}": published(v) for v in ("v0", "gauss", "v1")}}
    for name, layer in peers.items():
        for format_name, memory_format in FORMATS.items():
            made[f"{name}, {format_name}"] = lambda layer=layer, memory_format=memory_format: (
                with_convolutions(arch, layer, memory_format)
            )
    return made


def training_step(model: nn.Module, image: Tensor) -> None:
    model.zero_grad()
    maps = model(image)
    torch.autograd.backward(maps, [torch.ones_like(one) for one in maps])


def inference(model: nn.Module, image: Tensor) -> None:
    with torch.inference_mode():
        model(image)


def in_bfloat16(run: Callable) -> Callable:
    def cast(model: nn.Module, image: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            run(model, image)

    return cast


def in_turns(runs: dict[str, Callable], repeats: int, title: str) -> dict[str, list[float]]:
    """Seconds of every run after a first one."""
    seconds = {name: [] for name in runs}
    for turn in tqdm(range(repeats + 1), desc=title):
        for name, run in runs.items():
            if turn > FEW and min(seconds[name]) > SLOW:
                continue
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}


def time_backbones(arch: str | dict, size: int, repeats: int, compiled: bool) -> dict:
    image = torch.randn(1, 3, size, size)
    models = {name: make() for name, make in backbones(arch).items()}
    steps = {name: (model, training_step) for name, model in models.items()}
    looks = {name: (model, inference) for name, model in models.items()}
    for table, run in ((steps, training_step), (looks, inference)):
        table["ours, bfloat16"] = (models[OURS], in_bfloat16(run))
        if compiled:
            table["ours, compiled"] = (torch.compile(models[OURS], fullgraph=True), run)
    result = {}
    for title, table in {"training step": steps, "inference": looks}.items():
        for model in models.values():
            model.train(title == "training step")
        runs = {name: lambda m=m, run=run: run(m, image) for name, (m, run) in table.items()}
        result[title] = faster_format(in_turns(runs, repeats, title))
    return result


def convolution_runs(x: Tensor, kernel_size: int) -> dict[str, Callable]:
    channels, padding = x.shape[1], (kernel_size // 2,) * 2
    kernel = torch.randn(channels, 1, kernel_size, kernel_size, requires_grad=True)
    bias = torch.zeros(channels, requires_grad=True)
    ours = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    direction = torch.randn_like(ours)
    runs = {"ours": lambda: depthwise(ours, kernel, bias, (1, 1), padding).backward(direction)}
    for name, memory_format in FORMATS.items():
        image = x.contiguous(memory_format=memory_format).detach().requires_grad_()
        to = direction.contiguous(memory_format=memory_format)
        runs[f"F.conv2d, {name}"] = lambda image=image, to=to: F.conv2d(
            image, kernel, bias, padding=padding, groups=channels
        ).backward(to)
    return runs


def layer_runs(x: Tensor, kernel_size: int) -> dict[str, Callable]:
    channels, padding = x.shape[1], kernel_size // 2
    ours = Dcls2d(
        channels, channels, kernel_size, padding=padding, groups=channels, kernel_count=34
    )
    theirs = published("v0", kernel_size)(channels)
    layers = [("our layer", ours, "channels_last")]
    layers += [(f"dcls v0, {format_name}", theirs, format_name) for format_name in FORMATS]
    runs = {}
    for name, layer, format_name in layers:
        image = x.contiguous(memory_format=FORMATS[format_name]).detach().requires_grad_()
        to = torch.randn_like(image)
        runs[name] = lambda layer=layer, image=image, to=to: layer(image).backward(to)
    return runs


def time_convolutions(channels: int, side: int, repeats: int) -> dict[int, dict]:
    x = torch.randn(1, channels, side, side)
    return {
        size: faster_format(
            in_turns(
                {**convolution_runs(x, size), **layer_runs(x, size)}, repeats, f"kernel {size}"
            )
        )
        for size in KERNELS
    }


def time_construction(channels: int, repeats: int) -> dict[str, list[float]]:
    direction = torch.randn(channels, 1, 17, 17)
    runs = {}
    for ours, theirs in (("gaussian", "gauss"), ("bilinear_normalized", "v1"), ("bilinear", "v0")):
        options = dict(kernel_count=34, interpolation=ours, groups=channels)
        layer, peer = Dcls2d(channels, channels, 17, **options), published(theirs)(channels)
        runs[f"ours, {ours}"] = lambda layer=layer: layer.kernel().backward(direction)
        runs[f"dcls {theirs}"] = lambda peer=peer: peer.DCK(peer.weight, peer.P, peer.SIG).backward(
            direction
        )
    return in_turns(runs, repeats, "construction")


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
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
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
    processor = platform.processor() or platform.machine()
    names = Path("/proc/cpuinfo")
    if names.is_file():
        lines = [line for line in names.read_text().splitlines() if line.startswith("model name")]
        processor = lines[0].partition(":")[2].strip() if lines else processor
    return dict(
        processor=processor,
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
