"""A network of volumes, trained to tell the class of every voxel."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

IGNORED = 255


@MODELS.register_module()
class VolumeSegmentor(BaseModel):
    """A network that gives scores for every voxel, and cross entropy; 255 is ignored.

    Predictions are dicts of `gt_sem_seg` and `pred_sem_seg`, each a dict with `data` (L, H, W).

    backbone: a network (N, C, L, H, W) -> (N, classes, L, H, W).
    multiple: of what the sides L, H, W must be; they are filled up at their end with copies of the
        last cell, and what comes of these is cut off.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        multiple: Sequence[int] = (4, 4, 4),
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone) if isinstance(backbone, dict) else backbone
        self.multiple = multiple

    def forward(
        self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | list[dict]:
        logits = self.logits(inputs)
        if mode == "loss":
            return dict(loss=F.cross_entropy(logits, data_samples, ignore_index=IGNORED))
        if mode == "predict":
            return [
                dict(gt_sem_seg=dict(data=truth), pred_sem_seg=dict(data=predicted))
                for truth, predicted in zip(data_samples, logits.argmax(1), strict=True)
            ]
        return logits

    def logits(self, x: Tensor) -> Tensor:
        sides = x.shape[2:]
        lacking = [-side % n for side, n in zip(sides, self.multiple, strict=True)]
        beyond = [cells for lack in reversed(lacking) for cells in (0, lack)]
        y = self.backbone(F.pad(x, beyond, mode="replicate") if any(beyond) else x)
        return y[(..., *map(slice, sides))]
