"""Say what is heard in sound files, and show by Grad-CAM where a network heard it.

    python -m projects.audio.predict CONFIG CHECKPOINT FILE... --out predictions

A file longer than the clips that the network was trained on is judged by its beginning. Of each
file a line is printed and a picture written: its spectrogram, and what in it spoke for the label.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm import tqdm

from mmdcls.checkpoint.trained import load_trained
from mmdcls.errors import InputError
from mmdcls.running.failures import in_a_sentence
from mmdcls.running.prediction import check_device
from projects.audio.audio.data import titles_of
from projects.audio.audio.features import LogMel
from projects.audio.audio.sounds import fitted, read_sound

# A map of fewer frames says nothing of the time.
LEAST_FRAMES = 4
DPI = 110


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", help="config file of the project")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("files", nargs="+", type=Path, metavar="file", help="sound file")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="default predictions")
    parser.add_argument(
        "--stage",
        type=int,
        help=f"of the network, from 1 on, whose maps are looked at; default the last with maps of "
        f"{LEAST_FRAMES} frames or more",
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; default the first GPU, if any")
    parsed = parser.parse_args(arguments)
    with in_a_sentence():
        predict(**vars(parsed))


def predict(
    config: str,
    checkpoint: str,
    files: Sequence[Path],
    out: Path,
    stage: int | None = None,
    device: str | None = None,
) -> None:
    """Print file, label and score of each file, and write out/NAME.png.

    Raises InputError for files that cannot be read, and for two of one name.
    """
    names = [file.stem for file in files]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(
            f"Two files are called {twice[0]}, and would have one picture; rename one."
        )
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    trained = load_trained(config, checkpoint)
    model = trained.model.to(device)
    clips = trained.cfg.test_dataloader.dataset
    features = model.data_preprocessor.features
    length = round(features.rate * clips.get("seconds", 10.0))
    classes = trained.dataset_meta.get("classes") or classes_of(clips)
    out.mkdir(parents=True, exist_ok=True)
    for file in tqdm(files, unit="file"):
        sound = read_sound(file, features.rate)
        samples = torch.from_numpy(fitted(sound, length))[None]
        nothing = torch.zeros(1, 1)
        inputs = model.data_preprocessor(dict(inputs=samples, labels=nothing))["inputs"]
        with torch.no_grad():
            (found,) = model(inputs, nothing, mode="predict")
        score, number = (value.item() for value in found["scores"].max(0))
        label = classes[number] if classes else f"class {number}"
        rest = f", of its first {length / features.rate:g} s" if len(sound) > length else ""
        tqdm.write(f"{file}: {label} {score:.2f}{rest}")
        heat = heat_of(model, inputs, number, stage)
        title = f"{file.name}: {label}, {score:.2f}"
        draw(
            inputs[0, 0].cpu().numpy(),
            heat.cpu().numpy(),
            features,
            title,
            out / f"{file.stem}.png",
        )


def classes_of(dataset: Mapping) -> list[str]:
    """Of a config of AudioSet, for weights that do not say; none where its table is not there."""
    table = dataset.get("classes")
    is_there = isinstance(table, str) and Path(table).is_file()
    return list(titles_of(Path(table)).values()) if is_there else []


def heat_of(model: nn.Module, inputs: Tensor, label: int, stage: int | None = None) -> Tensor:
    """Grad-CAM of one spectrogram (1, 1, bands, frames): (bands, frames) from 0 to 1, all 0 where
    nothing speaks for the label."""
    try:
        from captum.attr import LayerGradCam
    except ImportError as error:
        raise InputError(
            "Where a network looked is told by captum, which is not installed: pip install -c "
            'constraints.txt -e ".[audio]".'
        ) from error
    stages = list(model.backbone.stages)
    if stage is not None and not 1 <= stage <= len(stages):
        raise InputError(f"--stage {stage} is none of 1 to {len(stages)}.")
    for layer in stages[::-1] if stage is None else [stages[stage - 1]]:
        grad_cam = LayerGradCam(model, layer)
        heat = grad_cam.attribute(inputs, target=label, relu_attributions=True)
        if heat.shape[-1] >= LEAST_FRAMES:
            break
    heat = F.interpolate(heat.detach(), inputs.shape[-2:], mode="bilinear")[0, 0]
    return heat / heat.max().clamp_min(torch.finfo(heat.dtype).tiny)


def draw(levels: np.ndarray, heat: np.ndarray, features: LogMel, title: str, path: Path) -> None:
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    rows = figure.subplots(2, sharex=True, sharey=True)
    bands, frames = levels.shape
    extent = (0, frames * features.hop / features.rate, 0, bands)
    options = dict(origin="lower", aspect="auto", extent=extent)
    for axes in rows:
        axes.imshow(levels, cmap="gray", **options)
        axes.set_ylabel("Hz", fontsize=8)
        axes.tick_params(labelsize=8)
    shown = rows[1].imshow(heat, cmap="inferno", alpha=0.25 + 0.6 * heat, **options)
    places = np.linspace(0, bands - 1, 5).round().astype(int)
    frequencies = np.linspace(0, features.rate / 2, features.mel.shape[1])
    peaks = features.mel.cpu().argmax(1).numpy()[places]
    rows[0].set_yticks(places + 0.5, [f"{frequencies[peak]:.0f}" for peak in peaks])
    rows[0].set_title(title, fontsize=9)
    rows[1].set_title("what spoke for it (Grad-CAM)", fontsize=9)
    rows[1].set_xlabel("s", fontsize=8)
    figure.colorbar(shown, ax=rows[1])
    figure.savefig(path, dpi=DPI)


if __name__ == "__main__":
    main()
