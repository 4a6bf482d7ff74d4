from .amp import CpuAmpOptimWrapper, amp_optim_wrapper
from .check_checkpoint import check_pretrained
from .check_config import check_config
from .check_data import naming_empty_data, watch
from .check_inputs import CheckInputs
from .checkpoint_hook import CheckpointHook
from .clamp_positions import ClampPositions
from .exact_resume import ExactResume
from .param_groups import DclsOptimWrapperConstructor
from .unreadable_files import UnreadableFiles

__all__ = [
    "CheckInputs",
    "CheckpointHook",
    "ClampPositions",
    "CpuAmpOptimWrapper",
    "DclsOptimWrapperConstructor",
    "ExactResume",
    "UnreadableFiles",
    "amp_optim_wrapper",
    "check_config",
    "check_pretrained",
    "naming_empty_data",
    "watch",
]
