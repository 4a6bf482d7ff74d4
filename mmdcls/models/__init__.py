from .converted import converted
from .convnext import DclsConvNeXt
from .convs import dcls1d, dcls2d, dcls3d

__all__ = ["DclsConvNeXt", "converted", "dcls1d", "dcls2d", "dcls3d"]
