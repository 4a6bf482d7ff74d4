"""Networks whose synaptic delays are learned, their data and their metric, for mmengine's configs.

`custom_imports = dict(imports=["projects.delays.delays"])` registers them as `delays.X`.
"""

from .commands import SpeechCommands
from .data import Polychrony, Rasters, ReversedDigits, Vowels, whole_batch
from .heidelberg import SpikeFile
from .metrics import Accuracy
from .network import DelayNetwork

__all__ = [
    "Accuracy",
    "DelayNetwork",
    "Polychrony",
    "Rasters",
    "ReversedDigits",
    "SpeechCommands",
    "SpikeFile",
    "Vowels",
    "whole_batch",
]
