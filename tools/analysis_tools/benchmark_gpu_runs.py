"""What benchmark_gpu.py times: steps and inference of a backbone, convolutions, construction."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from benchmark_convnext import ARCH, KINDS, ConvNeXt
from torch import Tensor

from mmdcls.dcls import Dcls2d, kernel
from mmdcls.dcls.conv import operators
from mmdcls.dcls.conv.ways import GPU_WAYS

FORMATS = dict(NHWC=torch.channels_last, NCHW=torch.contiguous_format)
# Replayed from a graph, a call longer than this tells nothing that launched by Python it does not.
LONG = 2e5
MERGED, KEPT = "merged", "merged, ways kept"


def timed(run: Callable[[], object], device: str, as_graph: bool = True) -> dict[str, float]:
    """Microseconds of a call, launched one by one and replayed from a CUDA graph."""
    if device == "cpu":
        start = time.perf_counter()
        run()
        return dict(eager=1e6 * (time.perf_counter() - start))
    for _ in range(3):
        run()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def between(call: Callable[[], object]) -> float:
        torch.cuda.synchronize()
        begin.record()
        call()
        end.record()
        end.synchronize()
        return 1e3 * begin.elapsed_time(end)

    eager = median(between(run) for _ in range(5))
    if eager > LONG or not as_graph:
        return dict(eager=eager)
    calls = max(1, min(50, int(2000 / eager)))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            run()
    graph.replay()
    return dict(eager=eager, graph=median(between(graph.replay) for _ in range(9)) / calls)


def peak_of(run: Callable[[], object], device: str) -> dict[str, float]:
    """Megabytes that are allocated at most during a call after a first one."""
    if device == "cpu":
        return {}
    # Of the 32 MB that cuBLAS takes for a stream, those of the streams of former graphs stay.
    gc.collect()
    torch._C._cuda_clearCublasWorkspaces()
    run()
    torch.cuda.reset_peak_memory_stats()
    run()
    return dict(megabytes=torch.cuda.max_memory_allocated() / 2**20)


@contextmanager
def framework_only() -> Iterator[None]:
    """Everything as where nobody measured: PyTorch's convolution and construction."""
    names = (
        (operators, "known_why_not"),
        (kernel, "construction_why_not"),
        (kernel, "shares_why_not"),
    )
    before = [getattr(*name) for name in names]
    for name in names:
        setattr(*name, lambda *call: "not asked")
    try:
        yield
    finally:
        for name, function in zip(names, before, strict=True):
            setattr(*name, function)


@contextmanager
def candidates_timed() -> Iterator[None]:
    """With `torch.backends.cudnn.benchmark`, as mmengine's `cudnn_benchmark` sets it."""
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False


def surroundings(framework: bool = False, cudnn: str | None = None) -> tuple:
    return (
        framework_only() if framework else nullcontext(),
        candidates_timed() if cudnn == "benchmark" else nullcontext(),
    )


def autocast(dtype: torch.dtype, device: str) -> torch.autocast:
    # Graphs cannot hold autocast's cache of casts.
    enabled = dtype != torch.float32
    return torch.autocast(device, dtype, enabled=enabled, cache_enabled=False)


def network(kind: str, device: str) -> ConvNeXt:
    torch.manual_seed(0)
    model = ConvNeXt(KINDS[kind], **ARCH[device])
    return model.to(device, memory_format=torch.channels_last)


def images(batch: int, side: int | list[int], device: str) -> Tensor:
    size = [side, side] if isinstance(side, int) else side
    image = torch.randn(batch, 3, *size, device=device)
    return image.contiguous(memory_format=torch.channels_last)


def step(
    device: str,
    kind: str,
    dtype: torch.dtype,
    batch: int,
    side: int | list[int],
    as_graph: bool = True,
    **options: bool | str,
) -> dict:
    """Microseconds and peak megabytes of a step of the backbone."""
    model, image = network(kind, device), images(batch, side, device)

    def once() -> None:
        model.zero_grad()
        with autocast(dtype, device):
            maps = model(image)
            loss = sum(one.float().square().mean() for one in maps)
        loss.backward()

    framework, cudnn = surroundings(**options)
    with framework, cudnn:
        peak = peak_of(once, device)
        return dict(**timed(once, device, as_graph), **peak)


def inference(device: str, kind: str, form: str, dtype: torch.dtype, batch: int, side: int) -> dict:
    """form: "as trained", or MERGED or KEPT."""
    model, image = network(kind, device).eval(), images(batch, side, device)
    for stage in model.stages if form in (MERGED, KEPT) else ():
        shares = stage.owner.shares()
        for block in stage.blocks:
            block.dwconv = block.dwconv.to_conv(shares, keep_ways=form == KEPT)
        stage.owner = None

    @torch.no_grad()
    def once() -> None:
        with autocast(dtype, device):
            model(image)

    # What a layer keeps is compared with its parameters, which no graph can hold.
    return timed(once, device, as_graph=form != "as trained")


def framework_runs(x: Tensor, weight: Tensor, grad: Tensor) -> dict[str, Callable[[], Tensor]]:
    channels, padding = x.shape[1], [weight.shape[2] // 2] * 2
    options = ([1, 1], padding, [1, 1], False, [0, 0], channels)
    backward = partial(torch.ops.aten.convolution_backward, grad, x, weight, None, *options)
    return dict(
        values=lambda: F.conv2d(x, weight, padding=padding, groups=channels),
        input_gradient=lambda: backward([True, False, False])[0],
        kernel_gradient=lambda: backward([False, True, False])[1],
    )


def band_runs(x: Tensor, weight: Tensor, grad: Tensor) -> dict[str, Callable[[], Tensor]]:
    padding = [weight.shape[2] // 2] * 2
    values, kernel_gradient = (GPU_WAYS[name]["band"].run for name in GPU_WAYS)
    return dict(
        values=lambda: values(x, weight, None, [1, 1], padding),
        input_gradient=lambda: values(grad, weight.flip(2, 3), None, [1, 1], padding),
        kernel_gradient=lambda: kernel_gradient(grad, x, list(weight.shape[2:]), padding),
    )


RUNS = dict(band=band_runs, framework=framework_runs)


def operands(
    size: tuple[int, ...], kernel_size: int, dtype: torch.dtype, layout: str, device: str
) -> list[Tensor]:
    """A map, a kernel and the gradient of the values."""
    kernel_shape = size[1], 1, kernel_size, kernel_size
    x, weight, grad = (torch.randn(s, device=device) for s in (size, kernel_shape, size))
    weight = (weight / kernel_size).to(dtype)
    x, grad = (one.to(dtype, memory_format=FORMATS[layout]) for one in (x, grad))
    return [x, weight, grad]


def errors(
    device: str, size: tuple[int, ...], kernel_size: int, dtype: torch.dtype
) -> dict[str, dict[str, float]]:
    """Of each way beside float64, relative, by norm."""
    sources = operands(size, kernel_size, dtype, "NHWC", device)
    exact = {
        name: run() for name, run in framework_runs(*[one.double() for one in sources]).items()
    }
    return {
        way: {
            name: float((run().double() - exact[name]).norm() / exact[name].norm())
            for name, run in runs(*sources).items()
        }
        for way, runs in RUNS.items()
    }


def construction(device: str, interpolation: str, framework: bool) -> dict:
    """Of the kernel of a layer, with its gradient."""
    layer = Dcls2d(384, 384, 17, groups=384, kernel_count=34, interpolation=interpolation)
    layer = layer.to(device)
    to = torch.randn(384, 1, 17, 17, device=device)
    with framework_only() if framework else nullcontext():
        return timed(lambda: layer.kernel().backward(to), device)


def kernel_from_shares(
    device: str, channels: int, kernel: int, count: int, computation: str
) -> dict:
    """By Triton. computation: "values", or "gradients" of weights and shares."""
    from mmdcls.dcls import construction_kernels

    weight = torch.randn(channels, 1, count, device=device)
    shares = [torch.rand(channels, 1, count, kernel, device=device) for _ in range(2)]
    if computation == "values":
        return timed(lambda: construction_kernels.kernel_from_shares(weight, *shares), device)
    grad = torch.randn(channels, 1, kernel, kernel, device=device)
    return timed(
        lambda: construction_kernels.kernel_from_shares_gradient(grad, weight, *shares), device
    )


def all_constructions(device: str, kind: str) -> dict:
    """Of the shares and kernels of a backbone, with all their gradients, as in a step."""
    model = network(kind, device)

    def kernels() -> list[Tensor]:
        found = []
        for stage in model.stages:
            shares = stage.owner.shares()
            found += [block.dwconv.kernel(shares) for block in stage.blocks]
        return found

    directions = [torch.randn_like(one) for one in kernels()]

    def once() -> None:
        model.zero_grad()
        torch.autograd.backward(kernels(), directions)

    return timed(once, device)
