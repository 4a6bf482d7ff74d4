import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class StudyClassifier(BaseModel):
    """A backbone whose last output are vectors, a linear layer, and cross entropy.

    Predictions are one dict for a whole batch: scores (N, classes) and labels (N,), the true ones.
    """

    def __init__(
        self,
        backbone: dict,
        in_channels: int,
        num_classes: int,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head = nn.Linear(in_channels, num_classes)

    def forward(
        self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        logits = self.head(self.backbone(inputs)[-1])
        if mode == "loss":
            return dict(loss=F.cross_entropy(logits, data_samples))
        if mode == "predict":
            return [dict(scores=logits.softmax(1), labels=data_samples)]
        return logits
