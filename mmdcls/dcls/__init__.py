"""DCLS layers for plain PyTorch; nothing here knows OpenMMLab."""

from .elements import ElementPositions, Shares, position_owners
from .interpolation import INTERPOLATIONS
from .kernel import construct_kernel
from .layers import Dcls1d, Dcls2d, Dcls3d, DclsNd
from .merged import merged
from .positions import clamp_positions_, position_limits, repulsion
from .spreads import INITIAL_SPREADS

__all__ = [
    "INITIAL_SPREADS",
    "INTERPOLATIONS",
    "Dcls1d",
    "Dcls2d",
    "Dcls3d",
    "DclsNd",
    "ElementPositions",
    "Shares",
    "clamp_positions_",
    "construct_kernel",
    "merged",
    "position_limits",
    "position_owners",
    "repulsion",
]
