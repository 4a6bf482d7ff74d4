"""Time each way of the depthwise DCLS convolutions of a config, at its sizes, on this machine."""

import sys
from collections.abc import Sequence

import torch

from mmdcls.analysis.convolutions import convolutions_met, crop_of
from mmdcls.analysis.networks import size_of
from mmdcls.analysis.profile_report import report
from mmdcls.analysis.profiling import REPEATS, profile
from mmdcls.config import add_options, read_config, without_pretrained
from mmdcls.errors import InputError

from .parsing import command_parser

EXAMPLE = "mmdcls profile mask-rcnn_dcls-convnext-t_fpn_amp-ms-crop-3x_coco --seconds 10"
DTYPES = ("float32", "bfloat16", "float16")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser("profile", __doc__, EXAMPLE)
    parser.add_argument("config", help="config file, or the name of a config of `mmdcls list`")
    parser.add_argument(
        "--shape",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="of the images; default: that of the training's crops, else as in published tables",
    )
    parser.add_argument("--batch", type=int, help="images; default: as the config trains")
    parser.add_argument("--dtype", default="float32", choices=DTYPES, help="of the maps")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="default: cuda where there is one"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="for all runs together, about; default: 60"
    )
    add_options(parser)
    parsed = parser.parse_args(arguments)
    cfg = without_pretrained(read_config(parsed.config, parsed.cfg_options))
    size = tuple(parsed.shape) if parsed.shape else crop_of(cfg) or size_of(cfg)
    batch = (cfg.get("train_dataloader") or {}).get("batch_size", 1)
    batch = batch if parsed.batch is None else parsed.batch
    if batch < 1:
        raise InputError(f"--batch {batch} must be a number of images, from 1 on.")
    device = device_of(parsed.device)
    found = profile(
        convolutions_met(cfg, size), batch, getattr(torch, parsed.dtype), device, parsed.seconds
    )
    sys.stdout.write(
        f"images: {batch}, height {size[0]}, width {size[1]}, {parsed.dtype}, on {named(device)}, "
        f"torch {torch.__version__}\nms: medians of up to {REPEATS} runs\n\n{report(found)}"
    )


def device_of(asked: str | None) -> torch.device:
    has_gpu = torch.cuda.is_available()
    if asked == "cuda" and not has_gpu:
        raise InputError("--device cuda: torch finds no GPU here; give --device cpu.")
    return torch.device(asked or ("cuda" if has_gpu else "cpu"))


def named(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"a CPU, threads: {torch.get_num_threads()}"
