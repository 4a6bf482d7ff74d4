"""DCLS layers for plain PyTorch, and the method that trains them; nothing here knows OpenMMLab."""

from .convert import Conversion, convert
from .delays import Synapse, delay_table, step, whole_delays
from .depthwise import DepthwiseConv2d, DepthwiseConv3d
from .elements import ElementPositions, Shares, position_owners
from .interpolation import INTERPOLATIONS
from .kernel import construct_kernel
from .layers import Dcls1d, Dcls2d, Dcls3d, DclsNd
from .merged import merged
from .parameter_groups import group_table, parameter_groups
from .position_health import figures_table, position_figures, position_warnings, start_positions
from .positions import clamp_positions_, position_limits, repulsion
from .rules import Rule
from .spreads import INITIAL_SPREADS
from .travel import scheduled_rates
from .whole_models import clamp_model_, repulsion_loss, rounded
from .widths import WIDTH_CURVES, anneal_width_, set_width_

__all__ = [
    "INITIAL_SPREADS",
    "INTERPOLATIONS",
    "WIDTH_CURVES",
    "Conversion",
    "Dcls1d",
    "Dcls2d",
    "Dcls3d",
    "DclsNd",
    "DepthwiseConv2d",
    "DepthwiseConv3d",
    "ElementPositions",
    "Rule",
    "Shares",
    "Synapse",
    "anneal_width_",
    "clamp_model_",
    "clamp_positions_",
    "construct_kernel",
    "convert",
    "delay_table",
    "figures_table",
    "group_table",
    "merged",
    "parameter_groups",
    "position_figures",
    "position_limits",
    "position_owners",
    "position_warnings",
    "repulsion",
    "repulsion_loss",
    "rounded",
    "scheduled_rates",
    "set_width_",
    "start_positions",
    "step",
    "whole_delays",
]
