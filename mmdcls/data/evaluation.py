"""Whether evaluators go with the data that they judge and with the model."""

import os
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.registry import METRICS

from mmdcls.config import nodes, sets_of
from mmdcls.registry import bare_name, find

from .coco_files import read
from .findings import Finding, Run
from .sets import annotation_file, is_coco


def metrics_of(cfg: Config, split: str) -> list[tuple[str, dict]]:
    evaluator = cfg.get(f"{split}_evaluator")
    return [(path, node) for path, node in nodes(f"{split}_evaluator", evaluator) if "type" in node]


def check_annotation_file(run: Run) -> Iterator[Finding]:
    """Of CocoMetric, which knows images by their ids, and ids of two files by chance agree."""
    for split in run.splits:
        sets = [node for _, node in sets_of(run.cfg, split)]
        files = [annotation_file(node) for node in sets]
        for path, metric in metrics_of(run.cfg, split):
            given = metric.get("ann_file") or ""
            if bare_name(metric["type"]) != "CocoMetric" or not os.path.isfile(given):
                continue
            is_known = files and all(files) and all(map(is_coco, sets))
            if is_known and all(images_of(given) != images_of(file) for file in files):
                yield Finding(
                    f"{path}.ann_file={given!r} has other images than the file that "
                    f"{split}_dataloader.dataset reads, {' or '.join(files)}: give both the same."
                )


def check_splits(run: Run) -> Iterator[Finding]:
    """What is trained on and evaluated by."""
    if not {"train", "val"} <= set(run.splits):
        return
    files = [
        {file for _, node in sets_of(run.cfg, split) if (file := annotation_file(node))}
        for split in ("train", "val")
    ]
    if both := sorted(files[0] & files[1]):
        yield Finding(
            f"Training and validation read the same annotation file, {both[0]}, so that the "
            f"figures of the validation are those of what is learned by heart.",
            is_wrong=False,
        )


def images_of(file: str) -> dict:
    return {image.get("id"): image.get("file_name") for image in read(file)["images"]}


def check_masks(run: Run) -> Iterator[Finding]:
    head = getattr(run.model, "roi_head", None)
    if head is None or getattr(head, "with_mask", True):
        return
    for split in run.splits:
        for path, metric in metrics_of(run.cfg, split):
            kinds = metric.get("metric", "bbox")
            if "segm" in ([kinds] if isinstance(kinds, str) else kinds):
                yield Finding(
                    f"{path}.metric={kinds!r} asks for masks, and model.roi_head has no "
                    f"mask_head; give metric='bbox'."
                )


def check_best(run: Run) -> Iterator[Finding]:
    """CheckpointHook.save_best must name a metric as the evaluators do."""
    checkpoint = (run.cfg.get("default_hooks") or {}).get("checkpoint") or {}
    best = checkpoint.get("save_best")
    metrics = [metric for _, metric in metrics_of(run.cfg, "val")]
    prefixes = {prefix_of(metric) for metric in metrics}
    # Other loops have names of their own.
    is_usual = bare_name((run.cfg.get("val_cfg") or {}).get("type", "ValLoop")) == "ValLoop"
    if "train" not in run.splits or not metrics or None in prefixes or not is_usual:
        return
    for name in [best] if isinstance(best, str) else best or ():
        if name != "auto" and not name.startswith(tuple(f"{prefix}/" for prefix in prefixes)):
            last = name.rpartition("/")[2]
            known = " or ".join(f"{prefix}/{last}" for prefix in sorted(prefixes))
            yield Finding(
                f"default_hooks.checkpoint.save_best={name!r} is none of the metrics of "
                f"{', '.join(bare_name(metric['type']) for metric in metrics)}; write {known}."
            )


def prefix_of(metric: dict) -> str | None:
    default = getattr(find(METRICS, metric["type"]), "default_prefix", None)
    return metric.get("prefix") or default
