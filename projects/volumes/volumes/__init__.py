"""What the configs here name: volumes, their network and its loss, in mmengine's registries.

`custom_imports = dict(imports=["projects.volumes.volumes"])` registers it.
"""

from .data import VolumeDataset, VolumePreprocessor
from .networks import KERNELS, FrameByFrame, volume_network
from .segmentor import VolumeSegmentor

__all__ = [
    "KERNELS",
    "FrameByFrame",
    "VolumeDataset",
    "VolumePreprocessor",
    "VolumeSegmentor",
    "volume_network",
]
