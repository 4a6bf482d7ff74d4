from .amp import CpuAmpOptimWrapper, amp_optim_wrapper
from .clamp_positions import ClampPositions
from .param_groups import DclsOptimWrapperConstructor

__all__ = [
    "ClampPositions",
    "CpuAmpOptimWrapper",
    "DclsOptimWrapperConstructor",
    "amp_optim_wrapper",
]
