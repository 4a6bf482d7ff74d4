from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from .registry import METRICS


@METRICS.register_module()
class Accuracy(BaseMetric):
    """Percent of right classes, of all items.

    direction: of the classes of `ReversedDigits`, also the percent whose direction is right,
        whatever the digit.
    """

    def __init__(self, direction: bool = False, **options) -> None:
        super().__init__(**options)
        self.direction = direction

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            scores, labels = sample["scores"], sample["labels"]
            figures = dict(accuracy=scores.argmax(1) == labels)
            if self.direction:
                figures["direction"] = scores.argmax(1) % 2 == labels % 2
            self.results.append({name: right.cpu() for name, right in figures.items()})

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        return {
            name: 100 * torch.cat([result[name] for result in results]).double().mean().item()
            for name in results[0]
        }
