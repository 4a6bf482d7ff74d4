"""How long the ways of a depthwise convolution take on this machine, and which one it takes."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from mmdcls.dcls.conv import padded
from mmdcls.dcls.conv.crossovers import Call, call_of
from mmdcls.dcls.conv.framework import framework_gradients, plain
from mmdcls.dcls.conv.operators import at_stride_1, depthwise_why_not, seen_by_input
from mmdcls.dcls.conv.ways import GPU_WAYS, WAYS, Way, chosen, ways_on
from mmdcls.dcls.geometry import sides_of
from mmdcls.errors import InputError

from .convolutions import Convolution
from .timing import in_turns

# Side of the plain kernel whose times stand beside, and runs of each at most.
PLAIN_SIZE, REPEATS = 7, 9
PLAIN = f"plain {PLAIN_SIZE}x{PLAIN_SIZE}"
# What a layer computes, and the table of ways for it.
COMPUTATIONS = {
    "forward": "values",
    "input gradient": "values",
    "kernel gradient": "kernel_gradient",
}


class Timing(NamedTuple):
    """milliseconds: median of the runs here, or None.

    why_not: why there is none, or why the way is not taken, however long it takes.
    """

    milliseconds: float | None
    why_not: str | None = None


class Computation(NamedTuple):
    """chosen: the way that the layer takes, None where none of them serves it."""

    name: str
    ways: dict[str, Timing]
    chosen: str | None
    plain: Timing


class Profile(NamedTuple):
    """count: how often an image meets the convolution.

    why_not: why the framework computes all of it in its own manner, None where the ways serve it.
    """

    convolution: Convolution
    count: int
    why_not: str | None
    computations: list[Computation]


class Job(NamedTuple):
    """One computation: what its ways are called with, and the plain one's run."""

    name: str
    call: Call
    arguments: tuple
    plain: Callable[[], object]


def profile(
    convolutions: Mapping[Convolution, int],
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
    seconds: float,
) -> list[Profile]:
    """Time every way of each convolution: forward, gradient of the input, gradient of the kernel.

    convolutions: with how often each is met. seconds: about, for all runs together.

    Raises InputError where the device has too little memory.
    """
    found = []
    left, end = len(COMPUTATIONS) * len(convolutions), time.perf_counter() + seconds
    late = f"{seconds:g} s were too few for it to have a turn; give more by --seconds"
    with tqdm(total=left, desc="profile", unit="computation", dynamic_ncols=True) as bar:
        for convolution, count in convolutions.items():
            try:
                why_not, jobs = jobs_of(convolution, batch, dtype, device)
                computations = []
                for job in jobs:
                    now = time.perf_counter()
                    enough = now + (end - now) / (left - bar.n)
                    name = None if why_not else chosen(COMPUTATIONS[job.name], job.call)
                    computations.append(timed(job, name, enough, end, late))
                    bar.update()
            except torch.OutOfMemoryError as error:
                raise InputError(
                    f"{device} has too little memory for {batch} maps of {convolution.channels} x "
                    f"{convolution.size[0]} x {convolution.size[1]}; give a smaller --batch or "
                    f"--shape."
                ) from error
            bar.update(len(COMPUTATIONS) - len(jobs))
            found.append(Profile(convolution, count, why_not, computations))
    return found


def jobs_of(
    convolution: Convolution, batch: int, dtype: torch.dtype, device: torch.device
) -> tuple[str | None, list[Job]]:
    """Why the framework computes all of it, if so, and what can be timed nonetheless."""
    channels, size, kernel_size, geometry, mode = convolution
    x = random(batch, channels, *size, device=device, dtype=dtype)
    # Beside a map of half precision on a GPU, layers under autocast keep kernels of float32.
    wide = torch.float32 if device.type == "cuda" and dtype.itemsize == 2 else dtype
    kernel = torch.randn(channels, 1, *kernel_size, device=device, dtype=wide)
    bias = torch.randn(channels, device=device, dtype=wide)
    plain_ones = plain_runs(x, bias.to(dtype), list(geometry.stride))

    sides = sides_of(geometry.padding, kernel_size, geometry.dilation)
    x, zeros = padded(x, sides, "constant" if mode == "zeros" else mode)
    x = x.contiguous(memory_format=torch.channels_last)
    stride, padding, size = list(geometry.stride), list(zeros), list(kernel_size)
    why_not = depthwise_why_not(x, kernel, channels, bias, stride, padding, geometry.dilation)
    if max(geometry.dilation) > 1:
        return why_not, []
    y = plain(x.to("meta"), kernel.to("meta", dtype), None, stride, padding, channels)
    grad = at_stride_1(random(*y.shape, device=device, dtype=dtype), stride, x, kernel, padding)
    seen, beyond = seen_by_input(grad, size, padding)
    calls = [
        (call_of(x, size, padding, stride), (x, kernel, bias, stride, padding)),
        (call_of(seen, size, beyond), (seen, kernel.flip(2, 3), None, [1, 1], beyond)),
        (call_of(x, size, padding), (grad, x, size, padding)),
    ]
    rows = zip(COMPUTATIONS, calls, plain_ones, strict=True)
    return why_not, [Job(name, *call, run) for name, call, run in rows]


def random(*shape: int, **options) -> Tensor:
    return torch.randn(shape, **options).contiguous(memory_format=torch.channels_last)


def plain_runs(x: Tensor, bias: Tensor, stride: list[int]) -> list[Callable[[], object]]:
    """Of the plain kernel on the same map: values, gradient of the input, that of the kernel."""
    channels, padding = x.shape[1], [PLAIN_SIZE // 2] * 2
    kernel = x.new_empty(channels, 1, PLAIN_SIZE, PLAIN_SIZE).normal_()
    grad = torch.randn_like(plain(x, kernel, bias, stride, padding, channels))

    masks = ([True, False, False], [False, True, False])
    gradients = [
        partial(framework_gradients, grad, x, kernel, stride, padding, mask) for mask in masks
    ]
    return [partial(plain, x, kernel, bias, stride, padding, channels), *gradients]


def timed(job: Job, name: str | None, enough: float, end: float, late: str) -> Computation:
    """The plain kernel and the chosen way have their turns first, the others if time is left."""
    table, device = COMPUTATIONS[job.name], job.call.device
    ways = all_ways(table, device)
    refusals = {way: ways[way].cannot(job.call) for way in ways}
    runs = {PLAIN: job.plain}
    for way in sorted(ways, key=lambda way: way != name):
        if refusals[way] is None:
            runs[way] = partial(ways[way].run, *job.arguments)
    seconds = in_turns(runs, REPEATS, enough, end, {PLAIN, name}, device)

    def timing(run: str, why_not: str | None = None) -> Timing:
        if seconds.get(run):
            return Timing(1e3 * median(seconds[run]), why_not)
        return Timing(None, refusals.get(run) or late)

    timings = {way: timing(way, ways[way].why_not(job.call)) for way in ways}
    return Computation(job.name, timings, name, timing(PLAIN))


def all_ways(table: str, device: torch.device) -> dict[str, Way]:
    """Of both tables, that of the device first."""
    own = ways_on(device)[table]
    return own | {
        name: way
        for ways in (WAYS, GPU_WAYS)
        for name, way in ways[table].items()
        if name not in own
    }
