"""Data sets whose files are not there, cannot be read, or hold labels without a class."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import mmcv
import torch
from PIL import Image
from torch.utils.data import Dataset

from mmdcls.config import nodes
from mmdcls.errors import InputError

from .coco_files import damaged
from .sizes import watch_sizes

FILES = {"img_path": "image", "seg_map_path": "label map"}


class NamingPipeline:
    """A data set's pipeline that names the file when it fails for one that cannot be read.

    skipped: None, or how often each sample was skipped, in memory that worker processes share.
    """

    def __init__(self, pipeline: Callable[[dict], dict | None]) -> None:
        self.pipeline = pipeline
        self.skipped: torch.Tensor | None = None

    def skip_in(self, samples: int) -> None:
        """Give None for a file that cannot be read, and a data set then draws another sample."""
        self.skipped = torch.zeros(samples, dtype=torch.int32).share_memory_()

    def __call__(self, sample: dict) -> dict | None:
        paths = {kind: sample.get(key) for key, kind in FILES.items()}
        index = sample.get("sample_idx")
        try:
            return self.pipeline(sample)
        except InputError as error:
            if self.skipped is None:
                raise
            return self.skip(index, str(error))
        except Exception as error:
            for kind, path in paths.items():
                if is_local(path) and (fault := fault_of(path)):
                    refusal = f"The {kind} {path} {fault}, or take it out of the data set."
                    if self.skipped is None:
                        raise InputError(refusal) from error
                    return self.skip(index, refusal)
            raise

    def skip(self, index: int, refusal: str) -> None:
        """Raises InputError once more than half of the samples cannot be read."""
        self.skipped[index] += 1
        failed = int((self.skipped > 0).sum())
        if 2 * failed > len(self.skipped):
            raise InputError(f"{refusal} It is one of {failed} in {len(self.skipped)} samples.")


def fault_of(path: str) -> str | None:
    if not os.path.isfile(path):
        return "is not there; put it there"
    try:
        with Image.open(path) as image:
            image.load()
        if mmcv.imread(path) is None:
            return "cannot be read by OpenCV; replace it"
    except Exception as error:
        reason = str(error).partition(" '")[0]  # without the name of the file
        return f"cannot be read ({' '.join(reason.split())}); replace it"
    return None


def is_local(path: str | None) -> bool:
    return bool(path) and "://" not in path


@contextmanager
def naming_bad_data(config: object) -> Iterator[None]:
    """While a data loader or an evaluator is built: say why numpy and json fail.

    Raises InputError.
    """
    try:
        yield
    except json.JSONDecodeError as error:
        for _, node in nodes("", config):
            file = os.path.join(node.get("data_root") or "", node.get("ann_file") or "")
            if os.path.isfile(file) and (fault := fault_of_json(file)):
                raise damaged(file, fault) from error
        raise
    except ValueError as error:
        if "need at least one array" not in str(error):
            raise
        raise no_image(config["dataset"].get("data_root")) from error


def fault_of_json(file: str) -> str | None:
    try:
        with open(file, encoding="utf-8") as opened:
            json.load(opened)
    except ValueError as error:
        return str(error)
    return None


def no_image(root: str | None) -> InputError:
    return InputError(
        f"Of the data set in {root!r} there is no image to use; compare data_prefix and "
        f"img_suffix with the names of its files, and the classes with the categories of its "
        f"annotation file."
    )


def watch(dataset: Dataset) -> None:
    """Refuse a data set that lacks images or label maps, and let it name files it cannot read."""
    parts = list(parts_of(dataset))
    # A sampler that never ends would look for the first image for ever.
    if all(hasattr(part, "__len__") and len(part) == 0 for part in parts):
        raise no_image(getattr(parts[0], "data_root", None))
    for part in parts:
        if hasattr(part, "pipeline"):
            check_label_maps(part)
            watch_sizes(part.pipeline, getattr(part, "ann_file", None))
            part.pipeline = NamingPipeline(part.pipeline)


def parts_of(dataset: Dataset) -> Iterator[Dataset]:
    """What wrappers such as ConcatDataset and RepeatDataset wrap."""
    inner = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if inner == [None]:
        yield dataset
    else:
        for child in inner:
            yield from parts_of(child)


def check_label_maps(dataset: Dataset) -> None:
    if not hasattr(dataset, "seg_map_suffix") or "LoadAnnotations" not in repr(dataset.pipeline):
        return
    paths = [dataset.get_data_info(i).get("seg_map_path") for i in range(len(dataset))]
    paths = list(filter(is_local, paths))
    folders = {os.path.dirname(path) for path in paths}
    present = {os.path.join(f, name) for f in folders if os.path.isdir(f) for name in os.listdir(f)}
    if absent := [path for path in paths if path not in present]:
        raise InputError(
            f"{len(absent)} of {len(dataset)} images have no label map, the first of them "
            f"{absent[0]}; every image needs one, named like it but for img_suffix="
            f"{dataset.img_suffix!r} and seg_map_suffix={dataset.seg_map_suffix!r}."
        )
