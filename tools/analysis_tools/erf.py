"""Measure and draw the effective receptive field of a model's backbone, before and after training.

    python tools/analysis_tools/erf.py CONFIG IMAGES... --checkpoint FILE --out erf

Beside it stands the same network with dense 7x7 kernels, at its start, or another by --against.
OUT gets each field as a raw array, a picture of all, and the table that is printed: the smallest
square in the middle that holds a share of the field, its side and its part of the image, of the
field itself and of log10(1 + field), of which RepLKNet's table is (arXiv 2203.06717).

A dozen images are enough to compare two networks, and give no figure to set beside published ones.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import set_random_seed
from torch import Tensor, nn
from tqdm import tqdm

from mmdcls.analysis.networks import built, channels_of, dense
from mmdcls.analysis.receptive_field import SHARES, Area, area_table, effective_receptive_field
from mmdcls.checkpoint.trained import load_trained
from mmdcls.config import add_options, read_config
from mmdcls.dcls import DclsNd, merged
from mmdcls.errors import InputError
from mmdcls.models.convnext import init_weight
from mmdcls.running.failures import in_a_sentence
from mmdcls.running.prediction import images_in
from mmdcls.study.text import markdown

matplotlib.use("Agg")
CELLS = Path("data/cells/images/validation")
# 33 cells of stride 32: near the 1024 of the published recipe, with a cell in the middle.
SIDE = 1056
# What the darkest colour of the picture stands for, as a share of the brightest.
DARKEST = 1e-4


class Network(NamedTuple):
    name: str
    model: nn.Module


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = parse_arguments(arguments)
    # Else every start would tell how each of its weights was drawn.
    MMLogger.get_instance("erf", log_level="ERROR")
    with in_a_sentence():
        paths = list(images_in(parsed.images, parsed.out))
        fields = {}
        for network in networks_of(parsed):
            shown = tqdm(paths, desc=network.name, unit="image")
            images = (prepared(path, network.model, parsed.side) for path in shown)
            backbone = getattr(network.model, "backbone", network.model)
            field = effective_receptive_field(backbone, images, parsed.layer)
            parsed.out.mkdir(parents=True, exist_ok=True)
            np.save(parsed.out / f"{network.name.replace(' ', '_')}.npy", field.numpy())
            fields[network.name] = field
    table = table_of(fields)
    (parsed.out / "areas.md").write_text(f"{table}\n")
    draw(fields, parsed.out / "erf.png")
    print(
        f"\n{table}\n\nmeans of {len(paths)} images of {parsed.side} x {parsed.side}: {parsed.out}"
    )


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "images",
        nargs="*",
        type=Path,
        default=[CELLS],
        help=f"images, or folders of them; default {CELLS}, which make demo prepares",
    )
    parser.add_argument("--checkpoint", help="of the trained model")
    parser.add_argument(
        "--against",
        metavar="CONFIG",
        help="config of the network beside it; default the same with dense 7x7 kernels",
    )
    parser.add_argument("--against-checkpoint", metavar="FILE", help="of that network, trained")
    parser.add_argument(
        "--side",
        type=int,
        default=SIDE,
        help=f"images are resized to this height and width; an odd number of cells, such as "
        f"{SIDE}, the default, for stride 32",
    )
    parser.add_argument("--layer", help="module whose map is observed; default the last stage")
    parser.add_argument("--seed", type=int, default=0, help="of the start; default 0")
    parser.add_argument("--out", type=Path, default=Path("erf"), help="folder; default erf")
    add_options(parser)
    parsed = parser.parse_args(arguments)
    if parsed.against_checkpoint and not parsed.against:
        parser.error("--against-checkpoint belongs to the config of --against; give that as well")
    return parsed


def networks_of(parsed: argparse.Namespace) -> Iterator[Network]:
    cfg = read_config(parsed.config, parsed.cfg_options)
    yield Network("start", at_the_start(cfg, parsed.seed))
    if parsed.checkpoint:
        trained = load_trained(parsed.config, parsed.checkpoint, parsed.cfg_options)
        yield Network("trained", trained.model)
    if parsed.against:
        yield Network("against start", at_the_start(read_config(parsed.against), parsed.seed))
    elif plain := dense(cfg):
        yield Network("dense start", at_the_start(plain, parsed.seed, is_dense=True))
    if parsed.against_checkpoint:
        trained = load_trained(parsed.against, parsed.against_checkpoint)
        yield Network("against trained", trained.model)


def at_the_start(cfg: Config, seed: int, is_dense: bool = False) -> nn.Module:
    """What training starts from, pretrained weights of the config included.

    is_dense: where DCLS layers of 7x7 are left, every cell of their kernels has a weight.
    """
    set_random_seed(seed)
    model = built(cfg)
    model.init_weights()
    if not is_dense:
        return model
    names = [name for name, module in model.named_modules() if isinstance(module, DclsNd)]
    model = merged(model, trim=False)
    for name in names:
        init_weight(model.get_submodule(name))
    return model


def prepared(path: Path, model: nn.Module, side: int) -> Tensor:
    """As the model's data preprocessor makes it of a file; (channels, side, side)."""
    channels = channels_of(model)
    if channels not in (1, 3):
        raise InputError(
            f"The backbone takes images of {channels} channels; this tool reads colours and grey. "
            f"Call mmdcls.analysis.receptive_field.effective_receptive_field on your own."
        )
    mode = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    pixels = cv2.resize(cv2.imread(str(path), mode), (side, side), interpolation=cv2.INTER_CUBIC)
    image = torch.from_numpy(pixels.reshape(side, side, channels)).permute(2, 0, 1)
    inputs = model.data_preprocessor(dict(inputs=[image], data_samples=None), False)["inputs"]
    return inputs[0].float()


def table_of(fields: dict[str, Tensor]) -> str:
    rows = [
        [name, of, *map(area_text, area_table(field))]
        for name, raw in fields.items()
        for of, field in (("field", raw), ("log10", torch.log10(raw.double() + 1)))
    ]
    return markdown(["network", "of", *(f"{share:.0%}" for share in SHARES)], rows)


def area_text(area: Area) -> str:
    return "not reached" if area.side is None else f"{area.side} px, {area.area:.1%}"


def draw(fields: dict[str, Tensor], path: Path) -> None:
    figure = Figure(figsize=(3.4 * len(fields) + 0.8, 3.8), layout="constrained")
    axes = figure.subplots(1, len(fields), squeeze=False)[0]
    for ax, (name, field) in zip(axes, fields.items(), strict=True):
        values = (field / field.max().clamp(min=torch.finfo(field.dtype).tiny)).numpy()
        shown = ax.imshow(values.clip(DARKEST), cmap="inferno", norm=LogNorm(DARKEST, 1))
        ax.set_title(name)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.colorbar(shown, ax=list(axes), label="of the largest", shrink=0.8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
