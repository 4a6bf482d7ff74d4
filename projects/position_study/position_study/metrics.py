"""Figures of merit that keep what they are made of, item by item, for intervals over the items."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

IGNORED = 255


@METRICS.register_module()
class ItemAccuracy(BaseMetric):
    """Percent of right labels; predictions are those of `StudyClassifier`.

    items: of the last evaluation, dict(scores (N, classes), labels (N,)), on the CPU.
    """

    items: dict[str, torch.Tensor]

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        self.items = {
            name: torch.cat([result[name] for result in results]).cpu()
            for name in ("scores", "labels")
        }
        right = self.items["scores"].argmax(1) == self.items["labels"]
        return dict(accuracy=100 * right.double().mean().item())


@METRICS.register_module()
class ItemIoU(BaseMetric):
    """Percent of intersection over union, of each class and in the mean; 255 is ignored.

    Classes that are neither in the truth nor predicted are left out of the mean.

    items: of the last evaluation, dict(confusion (N, classes, classes)), pixels of every image by
        true and by predicted class, on the CPU.
    """

    items: dict[str, torch.Tensor]

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        count = len(self.dataset_meta["classes"])
        for sample in data_samples:
            truth = sample["gt_sem_seg"]["data"].flatten()
            predicted = sample["pred_sem_seg"]["data"].flatten()
            # The ignored go to a bin of their own, the last.
            pairs = torch.where(truth == IGNORED, count * count, truth * count + predicted)
            counts = pairs.bincount(minlength=count * count + 1)[:-1]
            self.results.append(counts.view(count, count))

    def compute_metrics(self, results: list[torch.Tensor]) -> dict[str, float]:
        self.items = dict(confusion=torch.stack(results).cpu())
        confusion = self.items["confusion"].sum(0).double()
        common = confusion.diag()
        iou = 100 * common / (confusion.sum(0) + confusion.sum(1) - common)
        named = dict(zip(self.dataset_meta["classes"], iou.tolist(), strict=True))
        return dict(
            mIoU=iou.nanmean().item(),
            accuracy=(100 * common.sum() / confusion.sum()).item(),
            **{f"IoU_{name}": value for name, value in named.items()},
        )
