"""All that can be known of data and settings before the first iteration."""

from collections.abc import Callable, Iterator

from .classes import check_bytes, check_class_weights, check_classes, check_padding
from .coco import check_annotations
from .coco_files import read
from .evaluation import check_annotation_file, check_best, check_masks, check_splits
from .findings import Finding, Run
from .loading import (
    check_crops,
    check_evaluated_batches,
    check_loop,
    check_single_images,
    check_wrappers,
)
from .samples import check_samples

CHECKS: tuple[Callable[[Run], Iterator[Finding]], ...] = (
    check_classes,
    check_bytes,
    check_padding,
    check_class_weights,
    check_loop,
    check_wrappers,
    check_single_images,
    check_crops,
    check_evaluated_batches,
    check_annotations,
    check_annotation_file,
    check_splits,
    check_masks,
    check_best,
)


def findings_of(run: Run) -> Iterator[Finding]:
    is_wrong = False
    try:
        for check in CHECKS:
            for finding in check(run):
                is_wrong |= finding.is_wrong
                yield finding
        # A data set that is described wrongly need not be one that can be built.
        if not is_wrong:
            yield from check_samples(run)
    finally:
        read.cache_clear()
