import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import Tensor, nn

from .registry import MODELS


@MODELS.register_module()
class SoundClassifier(BaseModel):
    """A network that gives logits, and its loss: cross entropy, or with several labels a clip
    binary cross entropy on every class.

    Labels are (N, classes), from 0 to 1. Predictions are a dict for each clip: scores (classes,),
    which sum to 1 where a clip has one label, and labels (classes,).
    """

    def __init__(
        self,
        backbone: dict,
        multi_label: bool = False,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MMENGINE_MODELS.build(backbone)
        self.multi_label = multi_label

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        logits = self.backbone(inputs)
        if mode == "loss":
            loss = F.binary_cross_entropy_with_logits if self.multi_label else F.cross_entropy
            return dict(loss=loss(logits, labels))
        if mode == "predict":
            # In half precision most scores of a class are ties.
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            scores = logits.sigmoid() if self.multi_label else logits.softmax(1)
            return [
                dict(scores=mine, labels=true) for mine, true in zip(scores, labels, strict=True)
            ]
        return logits
