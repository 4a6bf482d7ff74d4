"""What a trained segmentor or detector finds in images, in files and drawn."""

import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from logging import LogRecord
from pathlib import Path

import cv2
import mmcv
import mmengine
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from torch import Tensor, nn

from mmdcls.checkpoint.fitting import some_of
from mmdcls.checkpoint.trained import Trained, load_trained
from mmdcls.config import sets_of
from mmdcls.data.images import sixteen_bits
from mmdcls.data.reading import fault_of
from mmdcls.data.sets import transform
from mmdcls.errors import InputError

from .legends import with_legend
from .predicted_files import bare_places, write_labels

ENDS = (".json", ".png", "_drawn.jpg")
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# No network here needs more pixels a side.
LARGEST_LEAST_SIDE = 256
# What mmdet draws from on.
SCORE_THRESHOLD = 0.3


def predict(
    config: str,
    checkpoint: str,
    paths: Sequence[Path],
    out: Path,
    device: str | None = None,
    options: dict | None = None,
    score_threshold: float | None = None,
) -> None:
    """Write a picture of every image to the folder `out`, and what was found.

    For a segmentor that is an image whose pixels are class numbers, and the picture has a legend of
    those in it; for a detector a JSON file with
    boxes, scores, labels and masks in RLE, of all objects: the picture has those whose scores are
    above score_threshold, SCORE_THRESHOLD where it is None.

    Raises InputError, after all others were predicted where images are too small for the network.
    """
    images = images_in(paths, out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out a folder.")
    check_device(device)
    check_threshold(score_threshold)
    # Refuses what an Inferencer would load as far as names and shapes agree.
    with quiet_libraries():
        trained = load_trained(config, checkpoint, options)
        inferencer = inferencer_of(trained, device)
    warn_of_dark(images, sets_of(trained.cfg, "test")[0][1])
    is_detector = trained.cfg.get("default_scope") == "mmdet"
    if score_threshold is not None and not is_detector:
        raise InputError("--score-threshold is for detectors; a segmentor's pixels have no score.")
    threshold = SCORE_THRESHOLD if score_threshold is None else score_threshold
    drawing = dict(pred_score_thr=threshold) if is_detector else {}
    left_out, scores = [], []
    sys.stdout.write("\n")
    for image, place in track_iter_progress(list(images.items())):
        try:
            scores.append(predict_one(inferencer, image, out / place, drawing))
        except (RuntimeError, cv2.error):
            fault = too_small(inferencer, image)
            if fault is None:
                raise
            left_out.append(f"{image} is {fault}")
    count = len(images) - len(left_out)
    sys.stdout.write(f"\nwrote {count} pictures and predictions to {out}\n")
    if is_detector and scores:
        sys.stdout.write(f"{objects_drawn(scores, threshold)}\n")
    if left_out:
        raise InputError(
            f"Of {len(images)} images, {len(left_out)} could not be predicted: "
            f"{'; '.join(left_out)}; resize them, or leave them out."
        )


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
        inside = [p for p in files_below(path) if p.suffix.lower() in SUFFIXES]
        if path.resolve() != out.resolve():
            inside = [p for p in inside if out.resolve() not in p.resolve().parents]
        if path.is_dir() and not inside:
            raise InputError(
                f"In the folder {path} is no image; their names must end in {', '.join(SUFFIXES)}."
            )
        for image in inside if path.is_dir() else [path]:
            place = image.relative_to(path) if path.is_dir() else Path(image.name)
            found.setdefault(image, place)
    found = bare_places(found)
    places, given = Counter(found.values()), {image.resolve() for image in found}
    for image, place in found.items():
        if places[place] > 1:
            raise InputError(
                f"{image} and another image would both be written as {place}; give the folder "
                f"that both are in, or predict them one after the other with --out."
            )
        if any((out / f"{place}{end}").resolve() in given for end in ENDS):
            raise InputError(f"{image} would be written over an image; give --out another folder.")
    faults = {image: fault for image in found if (fault := fault_of(str(image)))}
    if faults:
        (image, fault), *others = faults.items()
        more = f"; so with {some_of([str(other) for other, _ in others])}" if others else ""
        raise InputError(f"The image {image} {fault}, or leave it out{more}.")
    return found


def files_below(path: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Files in a folder, in those below and in those that links lead to.

    above: the real folders on the way here, into which no link leads back.
    """
    if not path.is_dir():
        yield path
    elif path.resolve() not in above:
        for child in sorted(path.iterdir()):
            yield from files_below(child, above | {path.resolve()})


def warn_of_dark(images: Iterable[Path], dataset: dict) -> None:
    """Name the first image of which the data set's loading loses much."""
    loading = transform(dataset, "LoadImageFromFile") or {}
    for image in images:
        if fault := sixteen_bits(str(image), loading):
            warnings.warn(f"{image} {fault}", stacklevel=2)
            return


def inferencer_of(trained: Trained, device: str | None) -> BaseInferencer:
    cfg, names = trained.cfg, trained.dataset_meta
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
    dataset = next((node for _, node in sets_of(cfg, "test")), {})
    if "pipeline" not in dataset:
        raise InputError(
            "The config has no test_dataloader.dataset.pipeline, which says how images are loaded; "
            "give it one."
        )
    if not names:
        raise InputError(
            "Neither the config nor the checkpoint names the classes; give them as "
            "test_dataloader.dataset.metainfo.classes."
        )
    # Inferencers know no wrappers.
    cfg.test_dataloader.dataset = dataset
    init_default_scope(scope)
    inferencer = Inferencer(cfg, device=device)
    # They read files of torch only; what serves the training alone has no weights then.
    inferencer.model.load_state_dict(trained.model.state_dict(), strict=False)
    inferencer.model.dataset_meta = inferencer.visualizer.dataset_meta = names
    # The bar of this command counts images; theirs would count one each time.
    inferencer.show_progress = False
    return inferencer


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within, OpenMMLab warns neither of its own deprecations, nor of what is as it is to be: that
    an Inferencer gets its weights and classes later."""
    logger = MMLogger.get_current_instance()

    def is_told(record: LogRecord) -> bool:
        return not record.getMessage().startswith("Failed to search registry with scope")

    logger.addFilter(is_told)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"mm(det|engine|seg)\.")
            yield
    finally:
        logger.removeFilter(is_told)


def check_threshold(score: float | None) -> None:
    if score is not None and not 0 <= score <= 1:
        raise InputError(f"--score-threshold {score} must be a score, from 0 to 1.")


def objects_drawn(scores: Sequence[Sequence[float]], threshold: float) -> str:
    """Of how many objects the pictures are, and where there are none, how close they came.

    scores: of all objects, image by image.
    """
    drawn = [sum(score > threshold for score in of_image) for of_image in scores]
    empty = drawn.count(0)
    text = (
        f"drawn: {sum(drawn)} objects, those with a score above {threshold}; "
        f"{empty} of {len(drawn)} images have none"
    )
    if sum(drawn):
        return text
    best = max((score for of_image in scores for score in of_image), default=None)
    if best is None:
        return f"{text}, and no object was found at any score"
    return f"{text}: the highest score is {best:.3g}; --score-threshold draws from lower ones on"


def predict_one(
    inferencer: BaseInferencer, image: Path, place: Path, drawing: dict
) -> Sequence[float]:
    """Returns the scores of the objects; a segmentor finds none.

    Image by image: the predictions of a whole folder need not fit into memory.

    drawing: options of the Inferencer.
    """
    result = inferencer(str(image), return_vis=True, **drawing)
    predictions, drawn = result["predictions"], result["visualization"]
    if isinstance(predictions, list):
        (predictions,), (drawn,) = predictions, drawn
        mmengine.dump(predictions, f"{place}.json")
    else:
        write_labels(f"{place}.png", predictions, inferencer.model)
        found = np.unique(predictions).tolist()
        drawn = with_legend(drawn, found, inferencer.visualizer.dataset_meta)
    mmcv.imwrite(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), f"{place}_drawn.jpg")
    return predictions["scores"] if isinstance(predictions, dict) else ()


def too_small(inferencer: BaseInferencer, image: Path) -> str | None:
    """How small an image is after the test pipeline, where the network takes none so small."""
    try:
        sample = inferencer.pipeline(str(image))
    except cv2.error as error:
        is_resizing = error.func == "resize"
        return "less than a pixel high or wide after the test_pipeline" if is_resizing else None
    inputs = inferencer.model.data_preprocessor(pseudo_collate([sample]))["inputs"]
    height, width = inputs.shape[2:]
    for least in range(1, LARGEST_LEAST_SIDE + 1):
        if takes(inferencer.model, inputs.new_zeros(*inputs.shape[:2], least, least)):
            break
    else:
        return None
    if min(height, width) >= least:
        return None
    return (
        f"{height} x {width} pixels after the test_pipeline, and the network needs {least} a side"
    )


@torch.no_grad()
def takes(model: nn.Module, inputs: Tensor) -> bool:
    try:
        model.extract_feat(inputs)
    except RuntimeError:
        return False
    return True
