from .amp import CpuAmpOptimWrapper, amp_optim_wrapper
from .anneal_sigma import AnnealSigma
from .check_checkpoint import check_pretrained, weights_of
from .check_config import check_config, nodes
from .check_data import naming_bad_data, watch
from .check_inputs import CheckInputs
from .check_layers import check_layers
from .checkpoint_hook import CheckpointHook
from .clamp_positions import ClampPositions
from .exact_resume import ExactResume
from .fsdp import FSDPStrategy, whole_parameters
from .param_groups import DclsOptimWrapperConstructor
from .position_health import PositionHealth
from .pretrained import Pretrained
from .repulsion import Repulsion
from .round_positions import RoundPositions
from .stop_on_non_finite import StopOnNonFinite
from .unreadable_files import UnreadableFiles

__all__ = [
    "AnnealSigma",
    "CheckInputs",
    "CheckpointHook",
    "ClampPositions",
    "CpuAmpOptimWrapper",
    "DclsOptimWrapperConstructor",
    "ExactResume",
    "FSDPStrategy",
    "PositionHealth",
    "Pretrained",
    "Repulsion",
    "RoundPositions",
    "StopOnNonFinite",
    "UnreadableFiles",
    "amp_optim_wrapper",
    "check_config",
    "check_layers",
    "check_pretrained",
    "naming_bad_data",
    "nodes",
    "watch",
    "weights_of",
    "whole_parameters",
]
