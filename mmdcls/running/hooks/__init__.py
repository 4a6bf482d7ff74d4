"""Hooks that keep runs safe."""

from .check_inputs import CheckInputs
from .checkpoint_hook import CheckpointHook
from .exact_resume import ExactResume
from .keep_predictions import KeepPredictions
from .stop_on_non_finite import StopOnNonFinite
from .unreadable_files import UnreadableFiles

__all__ = [
    "CheckInputs",
    "CheckpointHook",
    "ExactResume",
    "KeepPredictions",
    "StopOnNonFinite",
    "UnreadableFiles",
]
