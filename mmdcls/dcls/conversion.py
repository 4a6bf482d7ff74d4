"""What became of a network whose convolutions were to become DCLS layers."""

from collections import Counter
from dataclasses import dataclass

from .rules import in_cells


@dataclass(frozen=True)
class Replacement:
    """A convolution that has become a DCLS layer.

    owner: name of the layer whose positions it uses, its own or that of another.
    error: relative error of the group's kernels against the dense ones, None after a random start
        and where there are no values, on the device "meta".
    """

    name: str
    kind: str
    dense_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    kernel_count: int
    owner: str
    error: float | None


@dataclass(frozen=True)
class Conversion:
    """What `convert` did; as text, a table.

    left: the reason for each convolution that stays, by name.
    parameters_before, parameters_after: of the whole network.
    """

    replaced: tuple[Replacement, ...]
    left: dict[str, str]
    parameters_before: int
    parameters_after: int

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The layers that use the same positions, by their owner."""
        groups: dict[str, tuple[str, ...]] = {}
        for row in self.replaced:
            groups[row.owner] = (*groups.get(row.owner, ()), row.name)
        return groups

    def __str__(self) -> str:
        lines = [
            f"{len(self.replaced)} convolutions became DCLS layers with {len(self.groups)} sets of "
            f"positions; {self.parameters_before:,} parameters became {self.parameters_after:,}"
        ]
        width = max((len(row.name) for row in self.replaced), default=0)
        for row in self.replaced:
            text = (
                f"  {row.name:{width}}  {row.kind} {in_cells(row.dense_size)} -> "
                f"{in_cells(row.kernel_size)} with {row.kernel_count}"
            )
            if row.owner != row.name:
                text += f", positions of {row.owner}"
            elif row.error is not None:
                text += f", relative error {row.error:.2g}"
            lines.append(text)
        reasons = Counter(self.left.values())
        if reasons:
            counts = "; ".join(f"{count} {reason}" for reason, count in reasons.items())
            lines.append(f"left alone: {counts}")
        return "\n".join(lines)
