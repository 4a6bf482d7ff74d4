"""A graph written by `torch.export` and as ONNX, read back, and compared."""

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from mmdcls.errors import InputError

from .graphs import Graph

# Sum of rounding over a hundred layers in float32, several times over, as a share of the largest
# value.
TOLERANCE = 1e-4
# By whether a size was given.
WHAT_TO_DO = ("give the size that you need by --size", "take another network, or --formats plain")

Function = Callable[[Tensor], Sequence[Tensor]]


def shapes_of(graph: Graph, size: tuple[int, int] | None) -> list[tuple[int, int, int]]:
    """Batch, height and width to trace, then those to compare at; size: None leaves it open."""
    if size is not None:
        return [(2, *size), (1, *size), (3, *size)]
    side = graph.least_side
    # The last two are no multiples of the traced size, and the last is odd.
    traced = (2 * side, 2 * side - 16)
    return [(2, *traced), (1, *traced), (3, side + 32, 3 * side), (1, 2 * side + 37, side + 37)]


def images(shape: tuple[int, int, int], channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    batch, height, width = shape
    return 255 * torch.rand(batch, channels, height, width, generator=generator)


def largest_difference(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """As a share of the largest value; infinite where shapes differ or values are no numbers."""
    worst = 0.0
    for one, other in zip(found, wanted, strict=True):
        if one.shape != other.shape or not one.isfinite().all():
            return float("inf")
        worst = max(worst, ((one - other).abs().max() / other.abs().max().clamp(min=1)).item())
    return worst


@torch.no_grad()
def check_same(what: str, function: Function, truth: Graph, size: tuple[int, int] | None) -> float:
    """Raises InputError where what was made of a graph differs; returns how much it does."""
    worst = 0.0
    for shape in shapes_of(truth, size):
        image = images(shape, truth.channels)
        found = largest_difference(function(image), truth(image))
        if found > TOLERANCE:
            raise InputError(
                f"{what} differs from the model by {found:.2g} of its largest value on images of "
                f"shape {tuple(image.shape)}, where {TOLERANCE:.0e} is allowed, so nothing was "
                f"written; {WHAT_TO_DO[size is not None]}."
            )
        worst = max(worst, found)
    return worst


def open_shapes(graph: Graph, size: tuple[int, int] | None) -> dict[str, dict[int, Dim]]:
    dimensions = {0: Dim("batch", min=1)}
    if size is None:
        least = graph.least_side
        dimensions |= {2: Dim("height", min=least), 3: Dim("width", min=least)}
    return dict(image=dimensions)


def export(graph: Graph, size: tuple[int, int] | None) -> ExportedProgram:
    """Trace the graph for any batch, and for any size down to its least unless one is given.

    Raises InputError where the network does not allow that.
    """
    graph.requires_grad_(False)
    image = images(shapes_of(graph, size)[0], graph.channels)
    try:
        return torch.export.export(graph, (image,), dynamic_shapes=open_shapes(graph, size))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        kind = "open in size" if size is None else f"at {size[0]} x {size[1]}"
        raise InputError(
            f"torch.export does not trace this network {kind} ({reason}); "
            f"{WHAT_TO_DO[size is not None]}."
        ) from error


def write_program(program: ExportedProgram, path: Path, description: str) -> Function:
    torch.export.save(program, path, extra_files={"description.json": description})
    return torch.export.load(path).module()


def write_onnx(
    program: ExportedProgram,
    graph: Graph,
    size: tuple[int, int] | None,
    path: Path,
    description: str,
) -> Function:
    """In the opset that the installed exporter writes by itself."""
    with quiet():
        written = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["image"],
            output_names=list(graph.outputs),
            # Traced already; these are the names that the file gives to open dimensions.
            dynamic_shapes=open_shapes(graph, size),
            external_data=False,
            verbose=False,
        )
    written.model.metadata_props["description"] = description
    written.save(path)
    return run_onnx(path)


def run_onnx(path: Path) -> Function:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> list[Tensor]:
        return [torch.from_numpy(value) for value in session.run(None, {"image": image.numpy()})]

    return run


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's own account of its progress and of packages that it can do without."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
