"""Seconds of training steps, inference, convolutions and kernels, the rivals in turns."""

import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from benchmark_peers import FORMATS, LARGE, OURS, PLAIN, backbones, plain, with_convolutions
from benchmark_published import published_layer
from benchmark_report import faster_format
from torch import Tensor, nn
from tqdm import tqdm

from mmdcls.dcls import Dcls2d
from mmdcls.dcls.conv.operators import depthwise

KERNELS = (7, 17, 31, 51, 63)
# After this many runs, what takes longer than SLOW seconds sits out.
FEW, SLOW = 3, 2.0


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
    large = with_convolutions(arch, partial(plain, kernel_size=17), torch.channels_last)
    looks[LARGE] = (large, inference)
    for name, model in {"ours": models[OURS], PLAIN: models[f"{PLAIN}, channels_last"]}.items():
        for table, run in ((steps, training_step), (looks, inference)):
            table[f"{name}, bfloat16"] = (model, in_bfloat16(run))
            if compiled:
                table[f"{name}, compiled"] = (torch.compile(model, fullgraph=True), run)
    result = {}
    for title, table in {"training step": steps, "inference": looks}.items():
        for model, _ in table.values():
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
    theirs = published_layer(channels, "v0", kernel_size)
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
        layer, peer = Dcls2d(channels, channels, 17, **options), published_layer(channels, theirs)
        runs[f"ours, {ours}"] = lambda layer=layer: layer.kernel().backward(direction)
        runs[f"dcls {theirs}"] = lambda peer=peer: peer.DCK(peer.weight, peer.P, peer.SIG).backward(
            direction
        )
    return in_turns(runs, repeats, "construction")
