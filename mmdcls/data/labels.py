"""Labels that a model has no class for."""

from collections.abc import Iterator

import torch
from mmengine.structures import BaseDataElement
from torch import nn

from mmdcls.errors import InputError

# Of mmseg's label maps: no class.
IGNORED = 255


def check_labels(model: nn.Module, data_batch: dict) -> None:
    """Raise InputError for a label that the model has no class for."""
    for sample in samples_of(data_batch):
        if "gt_sem_seg" in sample:
            for head in heads_of(model, "decode_head", "auxiliary_head"):
                check_label_map(*head, sample.gt_sem_seg.data, sample.metainfo)
        if "labels" in sample.get("gt_instances", ()):
            for head in heads_of(model, "bbox_head", "mask_head", "panoptic_head"):
                check_objects(*head, sample.gt_instances.labels, sample.metainfo)


def samples_of(batch: object) -> Iterator[BaseDataElement]:
    """Data samples, however nested: test-time augmentation makes a list for every augmentation."""
    if isinstance(batch, BaseDataElement):
        yield batch
    elif isinstance(batch, (dict, list, tuple)):
        for child in batch.values() if isinstance(batch, dict) else batch:
            yield from samples_of(child)


def heads_of(model: nn.Module, *names: str) -> Iterator[tuple[str, nn.Module]]:
    """The heads of these names, each one head or a list of them, that tell the classes apart."""
    for path, module in model.named_modules():
        *_, owner, last = ("", *path.split("."))
        name = owner if last.isdigit() else last
        is_head = name in names and isinstance(getattr(module, "num_classes", None), int)
        # In a detector of proposals alone, bbox_head tells objects from background.
        if is_head and "RPN" not in type(module).__name__ and not has_other_targets(name, module):
            yield path.removeprefix("module."), module


def has_other_targets(name: str, head: nn.Module) -> bool:
    """Whether it learns one mask for all classes or, as STDC's auxiliary head, where edges are."""
    is_own_loss = name == "auxiliary_head" and not has_usual_loss(head)
    return getattr(head, "class_agnostic", False) or is_own_loss


def has_usual_loss(head: nn.Module) -> bool:
    """Whether it learns as most of mmseg's heads do, pixel by pixel."""
    loss = getattr(head, "loss_by_feat", None)
    return getattr(loss, "__qualname__", "") == "BaseDecodeHead.loss_by_feat"


def ignored_by(head: nn.Module) -> int:
    return getattr(head, "ignore_index", IGNORED)


def classes_told_apart(head: nn.Module) -> set[int]:
    """How many classes its data may have; by sigmoid, one output channel tells one or two."""
    losses = getattr(head, "loss_decode", None)
    losses = losses if isinstance(losses, nn.ModuleList) else [losses]
    by_sigmoid = all(getattr(loss, "use_sigmoid", False) for loss in losses)
    if getattr(head, "out_channels", None) == 1 and (by_sigmoid or head.num_classes == 2):
        return {1, 2}
    return {head.num_classes}


def check_label_map(path: str, head: nn.Module, labels: torch.Tensor, info: dict) -> None:
    file, count = info.get("seg_map_path"), max(classes_told_apart(head))
    if labels.ndim != 3 or len(labels) != 1:
        raise InputError(
            f"The label map {file} is a picture in colour, shape {tuple(labels.shape)}; it must "
            f"have one channel, with the number of the class in every pixel."
        )
    ignored = ignored_by(head)
    wrong = labels[(labels >= count) & (labels != ignored)]
    if len(wrong):
        label, allowed = int(wrong.max()), f"0 to {count - 1}, and {ignored} for no class"
        if info.get("reduce_zero_label"):
            label, allowed = label + 1, f"1 to {count}, and 0 for no class (reduce_zero_label)"
        raise InputError(
            f"The label map {file} has the label {label}, and "
            f"model.{path}.num_classes={head.num_classes} allows {allowed}; correct the label map, "
            f"or num_classes and the classes of the data set."
        )


def check_objects(path: str, head: nn.Module, labels: torch.Tensor, info: dict) -> None:
    if len(labels) and labels.max() >= head.num_classes:
        raise InputError(
            f"The image {info.get('img_path')} has an object of class {int(labels.max())}, and "
            f"model.{path}.num_classes={head.num_classes} allows 0 to {head.num_classes - 1}; give "
            f"num_classes and the data set the same classes."
        )


class SeenLabels:
    """Which labels the label maps of an evaluation have."""

    def __init__(self) -> None:
        self.labels: set[int] = set()

    def look(self, data_batch: object) -> None:
        for sample in samples_of(data_batch):
            if "gt_sem_seg" in sample:
                self.labels.update(sample.gt_sem_seg.data.unique().tolist())


def are_of_binary_masks(labels: set[int]) -> bool:
    """Whether there are pixels of no class, and of one class at the most."""
    return IGNORED in labels and labels <= {0, IGNORED}


def all_are_ignored(data_batch: object) -> bool:
    maps = [s.gt_sem_seg.data for s in samples_of(data_batch) if "gt_sem_seg" in s]
    return bool(maps) and all(bool((labels == IGNORED).all()) for labels in maps)
