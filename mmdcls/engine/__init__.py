from .clamp_positions import ClampPositions
from .param_groups import DclsOptimWrapperConstructor

__all__ = ["ClampPositions", "DclsOptimWrapperConstructor"]
