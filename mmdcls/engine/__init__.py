from .amp import CpuAmpOptimWrapper, amp_optim_wrapper
from .anneal_sigma import AnnealSigma
from .check_checkpoint import check_pretrained, weights_of
from .check_config import check_config, nodes
from .check_data import naming_empty_data, watch
from .check_inputs import CheckInputs
from .clamp_positions import ClampPositions
from .fsdp import FSDPStrategy, whole_parameters
from .param_groups import DclsOptimWrapperConstructor
from .position_health import PositionHealth
from .pretrained import Pretrained
from .repulsion import Repulsion
from .round_positions import RoundPositions
from .stop_on_non_finite import StopOnNonFinite

__all__ = [
    "AnnealSigma",
    "CheckInputs",
    "ClampPositions",
    "CpuAmpOptimWrapper",
    "DclsOptimWrapperConstructor",
    "FSDPStrategy",
    "PositionHealth",
    "Pretrained",
    "Repulsion",
    "RoundPositions",
    "StopOnNonFinite",
    "amp_optim_wrapper",
    "check_config",
    "check_pretrained",
    "naming_empty_data",
    "nodes",
    "watch",
    "weights_of",
    "whole_parameters",
]
