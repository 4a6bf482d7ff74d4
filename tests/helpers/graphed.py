"""A model with a backbone, and the hook that replays it, without a Runner."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from torch import Tensor, nn

from mmdcls.engine.graphed_backbone import REPEATS
from mmdcls.models import DclsConvNeXt

from .tiny import CHANNELS

ARCH = dict(depths=(1, 1, 1, 1), channels=(CHANNELS,) * 4)
SIZE = 32


class Moving(nn.Module):
    """Has a mean, that each pass moves, in a parameter that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(CHANNELS, 1, 1), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean += 0.1 * (x.detach().mean((0, 2, 3))[:, None, None] - self.mean)
        return x - self.mean


class Net(BaseModel):
    """calls: of the backbone in an iteration."""

    def __init__(
        self, calls: int = 1, norm: bool = False, moves: bool = False, **options: object
    ) -> None:
        super().__init__()
        sizes = dict(arch=ARCH, kernel_size=5, kernel_count=3, in_channels=CHANNELS)
        self.backbone = DclsConvNeXt(interpolation="gaussian", **sizes, **options)
        first = self.backbone.downsample_layers[0]
        first.extend([nn.BatchNorm2d(CHANNELS)] * norm + [Moving()] * moves)
        self.head = nn.Conv2d(CHANNELS, 1, 1)
        self.calls = calls

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = "tensor"):
        inputs = inputs.to(self.head.weight.dtype)
        if mode == "predict":
            return list(self.head(self.backbone(F.interpolate(inputs, SIZE))[-1]))
        maps = [self.backbone(inputs + shift) for shift in range(self.calls)]
        outputs = [self.head(one[-1]) for one in maps]
        return dict(loss=sum(output.square().mean() for output in outputs))


def net_of(device: torch.device, **options) -> Net:
    torch.manual_seed(3)
    return Net(**options).double().to(device)


def hook_on(net: nn.Module) -> tuple[Hook, SimpleNamespace]:
    """The hook at work on the model; what it logs is in the runner's `lines`."""
    lines = []
    logger = SimpleNamespace(info=lines.append, warning=lines.append)
    hook = HOOKS.build(dict(type="mmdcls.GraphedBackbone"))
    runner = SimpleNamespace(model=net, logger=logger, lines=lines)
    hook.before_train(runner)
    return hook, runner


def iterate(hook: Hook, net: Net, image: Tensor, times: int = REPEATS) -> Tensor:
    """The loss of the last of these iterations."""
    for iteration in range(times):
        hook.before_train_iter(SimpleNamespace(model=net, iter=iteration), iteration)
        loss = net(image, mode="loss")["loss"]
        loss.backward()
    return loss.detach()
