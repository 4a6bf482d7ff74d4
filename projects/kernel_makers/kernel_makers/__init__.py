"""Convolutions whose kernel a small network draws: CKConv and FlexConv, as depthwise layers.

`custom_imports = dict(imports=["projects.kernel_makers.kernel_makers"])` registers `Ckcnn`.
"""

from .layers import GeneratedConv2d, ckconv, flexconv
from .masks import GaussianMask
from .networks import Magnet, Siren
from .sequences import CausalCkconv, Ckcnn

__all__ = [
    "CausalCkconv",
    "Ckcnn",
    "GaussianMask",
    "GeneratedConv2d",
    "Magnet",
    "Siren",
    "ckconv",
    "flexconv",
]
