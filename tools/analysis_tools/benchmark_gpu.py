"""Time DCLS on a GPU beside its peers: training steps, convolutions, construction.

    python tools/analysis_tools/benchmark.py --device cuda

Needs torch and Triton, and none of OpenMMLab's packages. What is worth most comes first, and every
figure is appended to OUT/gpu.jsonl at once; a run that was cut off goes on where it stopped. The
backbone is a ConvNeXt-T of plain PyTorch (benchmark_convnext.py), with 7x7 convolutions or with
DCLS layers whose stages share positions. A step is the forward and the backward pass.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from benchmark_convnext import ARCH, KINDS, ConvNeXt
from torch import Tensor
from tqdm import tqdm

from mmdcls.dcls import Dcls2d, kernel
from mmdcls.dcls.conv import operators
from mmdcls.dcls.conv.ways import GPU_WAYS

BFLOAT16, HALF, FLOAT = torch.bfloat16, torch.float16, torch.float32
# Maps of a ConvNeXt-T at a crop of 512 and at COCO's size.
MAPS = dict(
    stage1=(2, 96, 128, 128),
    stage2=(2, 192, 64, 64),
    stage3=(2, 384, 32, 32),
    stage4=(2, 768, 16, 16),
)
COCO = dict(coco1=(2, 96, 200, 336), coco3=(2, 384, 50, 84))
FORMATS = dict(NHWC=torch.channels_last, NCHW=torch.contiguous_format)


class Figures:
    """Rows of a JSON-lines file, each known by what it measures."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.until = path, time.monotonic() + seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.known = {json.dumps(json.loads(line)["of"]) for line in lines}

    def add(self, of: dict, measure: Callable[[], dict]) -> None:
        if json.dumps(of) in self.known:
            return
        if time.monotonic() > self.until:
            raise TimeoutError
        try:
            found = measure()
        except RuntimeError as error:
            # Such as too little memory for the largest batch; the others are worth having.
            found = dict(failed=f"{type(error).__name__}: {str(error)[:300]}")
        with self.path.open("a") as file:
            file.write(json.dumps(dict(of=of, **found)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.known.add(json.dumps(of))


def timed(run: Callable[[], object], device: str) -> dict[str, float]:
    """Microseconds of a call, launched one by one and replayed from a CUDA graph."""
    for _ in range(3):
        run()
    if device == "cpu":
        start = time.perf_counter()
        run()
        return dict(eager=1e6 * (time.perf_counter() - start))
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def between(call: Callable[[], object]) -> float:
        torch.cuda.synchronize()
        begin.record()
        call()
        end.record()
        end.synchronize()
        return 1e3 * begin.elapsed_time(end)

    eager = median(between(run) for _ in range(5))
    if eager > 2e5:
        return dict(eager=eager)
    calls = max(1, min(50, int(2000 / eager)))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            run()
    graph.replay()
    return dict(eager=eager, graph=median(between(graph.replay) for _ in range(9)) / calls)


def environment(device: str) -> dict:
    found = dict(torch=torch.__version__, date=time.strftime("%Y-%m-%d"))
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= dict(
            gpu=properties.name,
            capability=[properties.major, properties.minor],
            triton=version("triton"),
            cudnn=torch.backends.cudnn.version(),
        )
    return found


def step(
    kind: str, dtype: torch.dtype, batch: int, side: int, by_framework: bool, device: str
) -> dict:
    """Microseconds and peak megabytes of a step of the backbone."""
    torch.manual_seed(0)
    options = KINDS[kind]
    model = ConvNeXt(**options, **ARCH[device]).to(device, memory_format=torch.channels_last)
    image = torch.randn(batch, 3, side, side, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    # Graphs cannot hold autocast's cache of casts.
    cast = dict(device_type=device, dtype=dtype, cache_enabled=False, enabled=dtype != FLOAT)

    def once() -> None:
        model.zero_grad()
        with torch.autocast(**cast):
            maps = model(image)
            loss = sum(one.float().square().mean() for one in maps)
        loss.backward()

    with framework_only() if by_framework else nullcontext():
        once()
        peak = {}
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            once()
            peak = dict(megabytes=torch.cuda.max_memory_allocated() / 2**20)
        return dict(**timed(once, device), **peak)


class framework_only:
    """Within it, everything is as where nobody measured: PyTorch's convolution and construction."""

    def __enter__(self) -> None:
        self.before = operators.known_why_not, kernel.construction_why_not
        operators.known_why_not = kernel.construction_why_not = lambda *call: "not asked"

    def __exit__(self, *error: object) -> None:
        operators.known_why_not, kernel.construction_why_not = self.before


def framework_runs(x: Tensor, weight: Tensor, grad: Tensor) -> dict[str, Callable]:
    channels, padding = x.shape[1], [weight.shape[2] // 2] * 2
    options = ([1, 1], padding, [1, 1], False, [0, 0], channels)
    backward = partial(torch.ops.aten.convolution_backward, grad, x, weight, None, *options)
    return dict(
        values=lambda: F.conv2d(x, weight, padding=padding, groups=channels),
        input_gradient=lambda: backward([True, False, False]),
        kernel_gradient=lambda: backward([False, True, False]),
    )


def band_runs(x: Tensor, weight: Tensor, grad: Tensor) -> dict[str, Callable]:
    padding = [weight.shape[2] // 2] * 2
    values, kernel_gradient = (GPU_WAYS[name]["band"].run for name in GPU_WAYS)
    return dict(
        values=lambda: values(x, weight, None, [1, 1], padding),
        input_gradient=lambda: values(grad, weight.flip(2, 3), None, [1, 1], padding),
        kernel_gradient=lambda: kernel_gradient(grad, x, list(weight.shape[2:]), padding),
    )


def convolutions(
    figures: Figures, maps: dict[str, tuple], kernels: tuple, dtype: torch.dtype, device: str
) -> None:
    # The interpreter takes minutes of what a GPU does in a second.
    for kernel_size in kernels if device == "cuda" else (3,):
        for name, size in maps.items():
            for way, layout in (("band", "NHWC"), ("framework", "NHWC"), ("framework", "NCHW")):
                x, grad = (
                    torch.randn(size, device=device, dtype=dtype).contiguous(
                        memory_format=FORMATS[layout]
                    )
                    for _ in range(2)
                )
                weight = (
                    torch.randn(size[1], 1, kernel_size, kernel_size, device=device) / kernel_size
                )
                runs = dict(band=band_runs, framework=framework_runs)[way]
                for computation, run in runs(x, weight.to(dtype), grad).items():
                    of = dict(
                        figure="convolution",
                        map=name,
                        kernel=kernel_size,
                        dtype=str(dtype),
                        way=way,
                        format=layout,
                        computation=computation,
                    )
                    figures.add(of, partial(timed, run, device))


def construction(interpolation: str, by_framework: bool, device: str) -> dict:
    layer = Dcls2d(384, 384, 17, groups=384, kernel_count=34, interpolation=interpolation)
    layer = layer.to(device)
    to = torch.randn(384, 1, 17, 17, device=device)
    with framework_only() if by_framework else nullcontext():
        return timed(lambda: layer.kernel().backward(to), device)


def stages(figures: Figures, device: str, side: int, maps: dict, coco: dict) -> Iterator[str]:
    """Measures one stage after another, in order of worth; yields what was done."""

    def steps(kinds: tuple, dtype: torch.dtype, batch: int, by_framework: bool = False) -> None:
        for kind in kinds:
            of = dict(figure="step", kind=kind, dtype=str(dtype), batch=batch, side=side)
            of |= dict(framework=by_framework)
            figures.add(of, partial(step, kind, dtype, batch, side, by_framework, device))

    plain, ours, gaussian = KINDS
    figures.add(dict(figure="environment"), partial(environment, device))
    yield "environment"
    steps((plain, ours, gaussian), BFLOAT16, 2)
    steps((plain, ours), BFLOAT16, 16)
    steps((plain, ours), FLOAT, 2)
    yield "steps"
    for interpolation in ("bilinear", "gaussian"):
        for by_framework in (False, True):
            of = dict(figure="construction", kind=interpolation, framework=by_framework)
            figures.add(of, partial(construction, interpolation, by_framework, device))
    yield "construction"
    convolutions(figures, maps, (17, 7), BFLOAT16, device)
    yield "convolutions"
    convolutions(figures, maps, (9, 11, 13, 23), BFLOAT16, device)
    convolutions(figures, maps, (17, 7, 9), FLOAT, device)
    convolutions(figures, maps, (17, 9), HALF, device)
    yield "crossovers"
    steps((ours,), BFLOAT16, 2, by_framework=True)
    steps((plain, ours), HALF, 2)
    convolutions(figures, maps, (5,), BFLOAT16, device)
    convolutions(figures, coco, (17, 23, 11), BFLOAT16, device)
    convolutions(figures, maps, (31, 51), BFLOAT16, device)
    yield "the rest"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("work_dirs/benchmark"))
    parser.add_argument("--seconds", type=float, default=600, help="no figure starts later")
    parser.add_argument(
        "--dry", action="store_true", help="tiny, on the CPU with TRITON_INTERPRET=1, as a trial"
    )
    parsed = parser.parse_args(arguments)
    torch.manual_seed(0)
    device = "cpu" if parsed.dry else "cuda"
    side, maps, coco = 512, MAPS, COCO
    if parsed.dry:
        side, maps, coco = 64, dict(tiny=(2, 3, 9, 8)), {}
    figures = Figures(parsed.out / "gpu.jsonl", parsed.seconds)
    try:
        for done in tqdm(stages(figures, device, side, maps, coco), unit="stage"):
            tqdm.write(done)
    except TimeoutError:
        print(f"{parsed.seconds:.0f} seconds are over; run it again for the rest")


if __name__ == "__main__":
    main()
