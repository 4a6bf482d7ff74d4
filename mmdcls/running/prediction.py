"""What a trained segmentor or detector finds in images, in files and drawn."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import mmcv
import mmengine
import torch
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress

from mmdcls.checkpoint.files import local_file
from mmdcls.checkpoint.trained import load_trained
from mmdcls.data.reading import fault_of
from mmdcls.errors import InputError

ENDS = (".json", ".png", "_drawn.jpg")
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def predict(
    config: str,
    checkpoint: str,
    paths: Sequence[Path],
    out: Path,
    device: str | None = None,
    options: dict | None = None,
) -> None:
    """Write a picture of every image to the folder `out`, and what was found.

    For a segmentor that is an image whose pixels are class numbers, for a detector a JSON file with
    boxes, scores, labels and masks in RLE. Raises InputError.
    """
    images = images_in(paths, out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out a folder.")
    check_device(device)
    # Refuses what an Inferencer would load as far as names and shapes agree.
    cfg = load_trained(config, checkpoint, options).cfg
    inferencer = inferencer_of(cfg, str(local_file(checkpoint)), device)
    sys.stdout.write("\n")
    for image, place in track_iter_progress(list(images.items())):
        predict_one(inferencer, image, out / place)
    sys.stdout.write(f"\nwrote {len(images)} pictures and predictions to {out}\n")


def check_device(device: str | None) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"--device {device} cannot be used ({reason}); leave it out.") from error


def images_in(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Every image, and its place below the output folder, without suffix where that is enough.

    What lies in the output folder is not looked at. Raises InputError for what is not there, for
    folders without images, for images that cannot be read, for two of one name, and for images that
    would be written over.
    """
    found = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"There is no image or folder {path}; give the path of one.")
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        if path.resolve() != out.resolve():
            inside = [p for p in inside if out.resolve() not in p.resolve().parents]
        if path.is_dir() and not inside:
            raise InputError(
                f"In the folder {path} is no image; their names must end in {', '.join(SUFFIXES)}."
            )
        for image in inside if path.is_dir() else [path]:
            place = image.relative_to(path) if path.is_dir() else Path(image.name)
            found.setdefault(image, place)
    bare = Counter(place.with_suffix("") for place in found.values())
    for image, place in found.items():
        if bare[place.with_suffix("")] == 1:
            found[image] = place.with_suffix("")
    places, given = Counter(found.values()), {image.resolve() for image in found}
    for image, place in found.items():
        if places[place] > 1:
            raise InputError(
                f"{image} and another image would both be written as {place}; give the folder "
                f"that both are in, or predict them one after the other with --out."
            )
        if any((out / f"{place}{end}").resolve() in given for end in ENDS):
            raise InputError(f"{image} would be written over an image; give --out another folder.")
        if fault := fault_of(str(image)):
            raise InputError(f"The image {image} {fault}, or leave it out.")
    return found


def inferencer_of(cfg: Config, checkpoint: str, device: str | None) -> BaseInferencer:
    scope = cfg.get("default_scope")
    if scope == "mmseg":
        from mmseg.apis import MMSegInferencer as Inferencer
    elif scope == "mmdet":
        from mmdet.apis import DetInferencer as Inferencer
    else:
        raise InputError(
            f"default_scope={scope!r} of the config must be mmseg or mmdet: segmentors and "
            f"detectors are what this command knows."
        )
    init_default_scope(scope)
    inferencer = Inferencer(cfg, checkpoint, device=device)
    # The bar of this command counts images; theirs would count one each time.
    inferencer.show_progress = False
    return inferencer


def predict_one(inferencer: BaseInferencer, image: Path, place: Path) -> None:
    """Image by image: the predictions of a whole folder need not fit into memory."""
    found = inferencer(str(image), return_vis=True)
    predictions, drawn = found["predictions"], found["visualization"]
    if isinstance(predictions, list):
        (predictions,), (drawn,) = predictions, drawn
        mmengine.dump(predictions, f"{place}.json")
    else:
        mmcv.imwrite(predictions.astype("uint8"), f"{place}.png")
    mmcv.imwrite(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), f"{place}_drawn.jpg")
