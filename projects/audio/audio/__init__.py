"""Sound classification: what the project's configs name, as `type="audio.X"`.

`custom_imports = dict(imports=["projects.audio.audio"])` registers it.
"""

from .classifier import SoundClassifier
from .data import AudioSet, ClipFolder
from .features import LogMel
from .lamb import lamb
from .metrics import SoundMetric
from .networks import spectrogram_network
from .preprocessor import SpectrogramPreprocessor

__all__ = [
    "AudioSet",
    "ClipFolder",
    "LogMel",
    "SoundClassifier",
    "SoundMetric",
    "SpectrogramPreprocessor",
    "lamb",
    "spectrogram_network",
]
