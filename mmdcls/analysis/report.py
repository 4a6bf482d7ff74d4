"""What the parts of a network cost, as a table to print."""

from collections.abc import Mapping, Sequence

from .networks import Part

CONVENTION = """\
multiply-adds: of convolutions and products of matrices, DCLS merged to plain convolutions of full
kernel size, as torch's counter sees them (which says 2 FLOPs for each).
as published: beside these 1 for each value that a convolution adds a bias to, 2 for each of a batch
norm, 1 for each of a ReLU or a pooling, none for layer norms and GELU. So mmcv 1 counted, and what
published tables of segmentors and detectors call FLOPs comes out as printed.
"""


def table(parts: Mapping[str, Part], plain: Mapping[str, Part] | None) -> str:
    """One line a part, and one for their sum; plain: the same network without DCLS, if any."""
    total = sum(part.cost.multiply_adds for part in parts.values())
    head = ["part", "parameters", "merged", "multiply-adds", "as published"]
    rows = [
        [
            name,
            millions(sum(part.parameters for part in some)),
            millions(sum(part.merged_parameters for part in some)),
            *figures(some, total),
        ]
        for name, some in with_sum(parts).items()
    ]
    if plain is not None:
        head += ["without DCLS", "as published"]
        for row, some in zip(rows, with_sum(plain).values(), strict=True):
            row += figures(some, total)
    return aligned([head, *rows])


def with_sum(parts: Mapping[str, Part]) -> dict[str, list[Part]]:
    return {**{name: [part] for name, part in parts.items()}, "all": list(parts.values())}


def figures(parts: Sequence[Part], total: int) -> list[str]:
    """Multiply-adds, alone and as published, in the unit that suits the total."""
    running = [part.cost for part in parts if part.cost.has_run]
    if not running:
        return ["not run", ""]
    unit, name = (1e9, "G") if total >= 1e9 else (1e6, "M")
    adds = sum(cost.multiply_adds for cost in running)
    others = sum(cost.cell_by_cell for cost in running)
    return [f"{adds / unit:.2f} {name}", f"{(adds + others) / unit:.2f} {name}"]


def millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        + "\n"
        for row in rows
    )
