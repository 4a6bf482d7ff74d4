"""The training step of a whole UPerNet of mmseg, with a plain backbone or ours."""

import time
from collections.abc import Callable

import torch
from benchmark_convnext import PLAIN
from benchmark_gpu_runs import autocast, images, peak_of, timed
from benchmark_peers import FORMATS, plain, with_convolutions
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmdcls.analysis.networks import built
from mmdcls.config import read_config, without_pretrained
from mmdcls.engine.graphed_backbone import Replayed

CONFIG = "dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512"
# Of a trial on a CPU.
TINY = dict(depths=(1, 1, 1, 1), channels=(4, 8, 8, 8))
# Iterations in a row, of which the mean is told.
ITERATIONS = 10


def step(device: str, kind: str, dtype: torch.dtype, batch: int, side: int) -> dict:
    """Microseconds and peak megabytes of the losses and their gradients, launched by Python."""
    model, loss_of = upernet(device, kind, dtype, batch, side)

    def once() -> None:
        model.zero_grad()
        loss_of().backward()

    peak = peak_of(once, device)
    return dict(**timed(once, device, as_graph=False), **peak)


def iteration(
    device: str, kind: str, dtype: torch.dtype, batch: int, side: int, graphed: bool
) -> dict:
    """Microseconds of whole iterations in a row, with fused AdamW.

    Of memory nothing: what graphs take for themselves is not counted as allocated.

    graphed: with what mmdcls.GraphedBackbone does, on a GPU.
    """
    model, loss_of = upernet(device, kind, dtype, batch, side)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=device == "cuda")
    replayed = Replayed(model.backbone, print)
    if graphed and device == "cuda":
        model.backbone.forward = replayed

    def once() -> None:
        replayed.is_spent = False
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()

    def many() -> None:
        for _ in range(ITERATIONS):
            once()
        if device == "cuda":
            torch.cuda.synchronize()

    many()
    start = time.perf_counter()
    many()
    return dict(eager=1e6 * (time.perf_counter() - start) / ITERATIONS)


def upernet(
    device: str, kind: str, dtype: torch.dtype, batch: int, side: int
) -> tuple[nn.Module, Callable[[], Tensor]]:
    """The model, and what computes its loss on drawn images."""
    torch.manual_seed(0)
    cfg = without_pretrained(read_config(CONFIG))
    heads = cfg.model.decode_head, cfg.model.auxiliary_head
    arch = cfg.model.backbone.arch
    if device == "cpu":
        arch = cfg.model.backbone.arch = TINY
        heads[0].in_channels, heads[1].in_channels = list(TINY["channels"]), TINY["channels"][2]
        for head in heads:
            head.channels = 8
    model = revert_sync_batchnorm(built(cfg))
    if kind == PLAIN:
        model.backbone = with_convolutions(arch, plain, FORMATS["channels_last"])
    model = model.to(device, memory_format=torch.channels_last).train()
    image = images(batch, side, device)
    samples = [labelled(heads[0].num_classes, side, device) for _ in range(batch)]

    def loss_of() -> Tensor:
        with autocast(dtype, device):
            return model.parse_losses(model.loss(image, samples))[0]

    return model, loss_of


def labelled(classes: int, side: int, device: str) -> SegDataSample:
    labels = torch.randint(classes, (1, side, side), device=device)
    return SegDataSample(gt_sem_seg=PixelData(data=labels))
