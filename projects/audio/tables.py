"""What the project compares: three networks on the spoken prompts, and the arms of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).resolve().parent / "configs"
# By network, in the order in which they are trained.
NETWORKS = {name: CONFIGS / f"prompts_{name}.py" for name in ("convnext", "convformer", "fastvit")}
TITLES = dict(convnext="ConvNeXt", convformer="ConvFormer", fastvit="FastViT")


@dataclass(frozen=True)
class Arm:
    """dcls: arguments of `mmdcls.dcls.Rule` for the 7x7 kernels; None leaves them dense.
    rate: `paramwise_cfg` of the optimiser; None leaves the config's, which is the published one.
    """

    dcls: dict[str, Any] | None
    rate: dict[str, float] | None = None

    @property
    def overrides(self) -> dict[str, Any]:
        """What it changes in the config of a network."""
        dcls = None if self.dcls is None else dict(self.dcls, _delete_=True)
        changes: dict[str, Any] = {"model.backbone.dcls": dcls}
        if self.rate is not None:
            changes["optim_wrapper.paramwise_cfg"] = dict(self.rate, _delete_=True)
        return changes


# As many elements as give the parameters of the dense kernels, stage by stage.
GAUSSIAN = dict(kernel_size=23, interpolation="gaussian")
BILINEAR = dict(kernel_size=23, interpolation="bilinear")
# The start and the rate that the position study proposes for short trainings.
START = dict(initial_spread="wide_normal")
TRAVEL = dict(position_travel=3.0)

REFERENCE = "dense-7"
ARMS = {
    REFERENCE: Arm(None),
    "gaussian-23": Arm(GAUSSIAN),
    "bilinear-23": Arm(BILINEAR),
    "gaussian-23-travel": Arm(GAUSSIAN | START, TRAVEL),
    "bilinear-23-travel": Arm(BILINEAR | START, TRAVEL),
}


@dataclass(frozen=True)
class Claim:
    """That an arm is better than another."""

    sentence: str
    arm: str
    than: str


CLAIMS = (
    Claim("Gaussian 23x23 beats dense 7x7", "gaussian-23", REFERENCE),
    Claim("bilinear 23x23 beats dense 7x7", "bilinear-23", REFERENCE),
    Claim("Gaussian beats bilinear", "gaussian-23", "bilinear-23"),
    Claim("Gaussian gains from positions that travel", "gaussian-23-travel", "gaussian-23"),
    Claim("bilinear gains from positions that travel", "bilinear-23-travel", "bilinear-23"),
    Claim("Gaussian that travels beats dense 7x7", "gaussian-23-travel", REFERENCE),
    Claim("bilinear that travels beats dense 7x7", "bilinear-23-travel", REFERENCE),
)
# Of every network on prompts that it has not heard, in percent.
AIMS = dict(accuracy=80.0, mAP=90.0)
