"""DCLS layers for plain PyTorch; nothing here knows OpenMMLab."""

from .convert import Conversion, convert
from .elements import ElementPositions, Shares, position_owners
from .interpolation import INTERPOLATIONS
from .kernel import construct_kernel
from .layers import Dcls1d, Dcls2d, Dcls3d, DclsNd
from .merged import merged
from .positions import clamp_positions_, position_limits, repulsion
from .rules import Rule
from .spreads import INITIAL_SPREADS

__all__ = [
    "INITIAL_SPREADS",
    "INTERPOLATIONS",
    "Conversion",
    "Dcls1d",
    "Dcls2d",
    "Dcls3d",
    "DclsNd",
    "ElementPositions",
    "Rule",
    "Shares",
    "clamp_positions_",
    "construct_kernel",
    "convert",
    "merged",
    "position_limits",
    "position_owners",
    "repulsion",
]
