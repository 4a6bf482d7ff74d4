"""The published layers, `dcls==0.1.1`, as a plain network takes them."""

import logging
from collections.abc import Sequence

from torch import nn


def published_layer(
    channels: int, version: str, kernel_size: int = 17, kernel_count: int = 34
) -> nn.Module:
    from DCLS.construct.modules import Dcls2d

    # Every layer warns that there is no CUDA extension.
    logging.disable(logging.WARNING)
    try:
        return Dcls2d(
            channels,
            channels,
            kernel_count,
            padding=kernel_size // 2,
            dilated_kernel_size=kernel_size,
            groups=channels,
            version=version,
            use_implicit_gemm=False,
        )
    finally:
        logging.disable(logging.NOTSET)


def share_positions(layers: Sequence[nn.Module]) -> None:
    """The published backbones share positions and widths within a stage, as ours does positions."""
    for layer in layers[1:]:
        for name in ("P", "SIG"):
            if getattr(layers[0], name, None) is not None:
                setattr(layer, name, getattr(layers[0], name))
