from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from mmdcls.errors import InputError

from .registry import METRICS


@METRICS.register_module()
class SoundMetric(BaseMetric):
    """In percent: mAP, the mean over classes of average precision, and AUC; d_prime is
    sqrt(2) times the mean of the normal quantiles of AUC. Accuracy, where each clip has one label.

    Predictions are those of `SoundClassifier`. A class that no clip has, or all have, is left out.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        # One result a clip: mmengine cuts what several processes have counted twice.
        self.results.extend(
            (sample["scores"].cpu().numpy(), sample["labels"].cpu().numpy())
            for sample in data_samples
        )

    def compute_metrics(self, results: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        from scipy.special import ndtri
        from sklearn.metrics import average_precision_score, roc_auc_score

        scores, labels = (np.stack(arrays) for arrays in zip(*results, strict=True))
        judged = labels.any(0) & ~labels.all(0)
        if not judged.any():
            raise InputError(
                "No class is in some of the clips and not in others, so that nothing can be "
                "ranked: give val_dataloader other data."
            )
        labels_of, scores_of = labels[:, judged], scores[:, judged]
        auc = roc_auc_score(labels_of, scores_of, average=None)
        figures = dict(
            mAP=100 * average_precision_score(labels_of, scores_of, average="macro"),
            AUC=100 * np.mean(auc),
            d_prime=np.sqrt(2) * np.mean(ndtri(auc)),
        )
        if (labels.sum(1) == 1).all():
            right = scores.argmax(1) == labels.argmax(1)
            figures = dict(accuracy=100 * right.mean()) | figures
        return {name: float(value) for name, value in figures.items()}
