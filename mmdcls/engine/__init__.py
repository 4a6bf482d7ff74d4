"""The training method: hooks and the optimiser rule."""

from .anneal_sigma import AnnealSigma
from .clamp_positions import ClampPositions
from .graphed_backbone import GraphedBackbone
from .param_groups import DclsOptimWrapperConstructor
from .position_health import PositionHealth
from .position_travel import PositionTravel
from .repulsion import Repulsion
from .round_positions import RoundPositions

__all__ = [
    "AnnealSigma",
    "ClampPositions",
    "DclsOptimWrapperConstructor",
    "GraphedBackbone",
    "PositionHealth",
    "PositionTravel",
    "Repulsion",
    "RoundPositions",
]
