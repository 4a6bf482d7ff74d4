"""The training step of a whole UPerNet of mmseg, with a plain backbone or ours."""

import torch
from benchmark_convnext import PLAIN
from benchmark_gpu_runs import autocast, images, peak_of, timed
from benchmark_peers import FORMATS, plain, with_convolutions
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdcls.analysis.networks import built
from mmdcls.config import read_config, without_pretrained

CONFIG = "dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512"
# Of a trial on a CPU.
TINY = dict(depths=(1, 1, 1, 1), channels=(4, 8, 8, 8))


def step(device: str, kind: str, dtype: torch.dtype, batch: int, side: int) -> dict:
    """Microseconds and peak megabytes of the losses and their gradients, launched by Python."""
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

    def once() -> None:
        model.zero_grad()
        with autocast(dtype, device):
            loss, _ = model.parse_losses(model.loss(image, samples))
        loss.backward()

    peak = peak_of(once, device)
    return dict(**timed(once, device, as_graph=False), **peak)


def labelled(classes: int, side: int, device: str) -> SegDataSample:
    labels = torch.randint(classes, (1, side, side), device=device)
    return SegDataSample(gt_sem_seg=PixelData(data=labels))
