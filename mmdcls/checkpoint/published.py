"""The published code's tensors of a DCLS layer, P and SIG, beside our positions and sigma.

Row a of our positions is kernel axis a. Which axis a row of P and SIG addresses depends on the
interpolation, and for bilinear on the release that trained the file: method and dates are in
docs/weights.md.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mmdcls.dcls import INTERPOLATIONS
from mmdcls.errors import InputError

# The published code calls the interpolations v0, v1, max and gauss.
VERSIONS = {
    "v0": "bilinear",
    "v1": "bilinear_normalized",
    "max": "triangle",
    "gauss": "gaussian",
}
AXIS_ORDERS = ("height_first", "width_first")
NAMES = {"P": "positions", "SIG": "sigma"}
# Grids that release 0.0.2 kept among the parameters.
GRIDS = re.compile(r"\.DCK\.\w+$")


def is_published(names: Mapping[str, Tensor]) -> bool:
    return any(name.endswith(".P") for name in names)


def axis_order_of(
    weights: Mapping[str, Tensor], interpolation: str, is_convnext: bool, given: str | None
) -> str:
    """Which kernel axis the first row of P addresses; raises InputError where nothing says it."""
    if given is not None and given not in AXIS_ORDERS:
        raise InputError(
            f"axis_order={given!r} is unknown; choose one of {', '.join(AXIS_ORDERS)}."
        )
    if interpolation != "bilinear":
        known = "width_first"
    elif any(GRIDS.search(name) for name in weights):
        # The release that saved its grids is among those whose bilinear was transposed.
        known = "width_first"
    else:
        # The ConvNeXt files were trained before the releases that had it transposed.
        known = "height_first" if is_convnext else None
        if given is None and known is None:
            raise InputError(
                "A bilinear file that is not a ConvNeXt does not say whether its positions are "
                "stored height first or width first: evaluate it with axis_order='height_first' "
                "and with 'width_first', and keep the better."
            )
    return given or known


def check_interpolation(weights: Mapping[str, Tensor], interpolation: str) -> None:
    """Raises InputError where the file has widths and the interpolation none, or the reverse."""
    has_widths = any(name.endswith(".SIG") for name in weights)
    if has_widths == INTERPOLATIONS[interpolation].has_sigma:
        return
    fitting = [
        f"{ours!r} ({theirs})"
        for theirs, ours in VERSIONS.items()
        if INTERPOLATIONS[ours].has_sigma == has_widths
    ]
    raise InputError(
        f"The file has {'widths, SIG' if has_widths else 'no widths'}, and the model's "
        f"interpolation={interpolation!r} {'none' if has_widths else 'needs them'}: set "
        f"interpolation to {' or '.join(fitting)}, whichever the file was trained with."
    )


def from_published(weights: Mapping[str, Tensor], axis_order: str) -> dict[str, Tensor]:
    """Our names, and our order of axes, for every P and SIG; grids are left out."""
    result = {}
    for name, value in weights.items():
        owner, _, kind = name.rpartition(".")
        if kind in NAMES:
            result[f"{owner}.{NAMES[kind]}"] = in_order(name, value, axis_order)
        elif not GRIDS.search(name):
            result[name] = value
    return result


def in_order(name: str, rows: Tensor, axis_order: str) -> Tensor:
    if len(rows) > 2:
        raise InputError(f"{name} has {len(rows)} axes; only files of 1 or 2 are read.")
    return rows.flip(0) if axis_order == "width_first" else rows


def to_published(weights: Mapping[str, Tensor], interpolation: str) -> dict[str, Tensor]:
    """The reverse of `from_published`, in the axis order of the release that is current."""
    order = "height_first" if interpolation == "bilinear" else "width_first"
    theirs = {ours: name for name, ours in NAMES.items()}
    result = {}
    for name, value in weights.items():
        owner, _, kind = name.rpartition(".")
        if kind in theirs:
            result[f"{owner}.{theirs[kind]}"] = in_order(name, value, order)
        else:
            result[name] = value
    return result
