"""Convolutions whose kernel a small network draws: CKConv and FlexConv, as depthwise layers."""

from .layers import GeneratedConv2d, ckconv, flexconv
from .masks import GaussianMask
from .networks import Magnet, Siren

__all__ = ["GaussianMask", "GeneratedConv2d", "Magnet", "Siren", "ckconv", "flexconv"]
