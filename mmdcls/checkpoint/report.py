"""The line that says what became of a checkpoint."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

PART = re.compile(r"(backbone\.)?((stages|downsample_layers)\.)?[^.]+")


@dataclass(frozen=True)
class Report:
    """What became of a checkpoint; as text, one line.

    layout: its name, and the entry of the file that held the weights.
    left, unused: names of tensors, of the model and of the file.
    errors: relative error of the kernels by stage, after a start from dense ones.
    moved: how many elements stood outside their kernel and were put on its border, and how many
        cells outside at most. A file does not say for which kernel size it was made.
    spreads: of `initial_spread`, what the file's positions stand in the place of.
    """

    source: str
    layout: str
    loaded: int
    left: tuple[str, ...]
    unused: tuple[str, ...]
    errors: dict[str, float] = field(default_factory=dict)
    moved: tuple[int, float] = (0, 0.0)
    spreads: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = (
            f"{self.source} ({self.layout}): loaded {self.loaded} tensors; left at "
            f"initialisation: {parts_of(self.left)}; unused: {parts_of(self.unused)}"
        )
        if self.errors:
            errors = ", ".join(f"{stage} {error:.2g}" for stage, error in self.errors.items())
            text += f"; relative error of the kernels against the dense ones: {errors}"
        if self.moved[0]:
            text += (
                f"; {self.moved[0]} elements outside the kernel, by up to {self.moved[1]:.2g} "
                f"cells, are put on its border"
            )
        if self.spreads:
            text += (
                f"; elements stand where the file has them, and initial_spread="
                f"{' and '.join(map(repr, self.spreads))} changes nothing"
            )
        return text


def parts_of(names: Iterable[str]) -> str:
    """The parts of a model that tensors belong to, such as "stages.3, norm0, decode_head"."""
    return ", ".join(dict.fromkeys(PART.match(name)[0] for name in names)) or "none"
