"""Write a trained model as torch.export, as ONNX and as a plain config, none of which need mmdcls.

Every DCLS layer becomes the plain convolution it equals, trimmed to the cells in use. What is
written is read back and compared with the model; where they differ, nothing is written.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from mmdcls.checkpoint.trained import Trained, load_trained
from mmdcls.dcls import DclsNd, merged
from mmdcls.errors import InputError

from .agreement import agreement
from .exporting import Function, check_same, export, write_onnx, write_program
from .graphs import Graph, channels_of, graph_of
from .plain import NoPlainConfig, write_plain
from .pooling import open_pooling_

FORMATS = {
    "pt2": "model.pt2, for torch.export.load",
    "onnx": "model.onnx",
    "plain": "config.py and weights.pth, for mmseg or mmdet",
}
DESCRIPTION = "description.json"
OUTPUTS = ("model.pt2", "model.onnx", "config.py", "weights.pth", DESCRIPTION)
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def deploy(
    config: str,
    checkpoint: str,
    out: Path,
    formats: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    compare: bool = False,
    options: dict | None = None,
) -> None:
    """Write a trained model to the folder `out`.

    formats: of FORMATS; None for all, without "plain" where there is no such network.
    size: height and width of the only images to take; None leaves them open.
    compare: count the pixels of the validation images on which the classes agree.

    Raises InputError.
    """
    wanted = formats or list(FORMATS)
    absent = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if "onnx" in wanted and absent:
        raise InputError(
            f"ONNX needs {', '.join(absent)}; install mmdcls[deploy], or leave ONNX out by "
            f"--formats pt2."
        )
    trained = load_trained(config, checkpoint, options)
    original = graph_of(trained.cfg, trained.model)
    graph = graph_of(trained.cfg, merged(trained.model))
    if size is None:
        open_pooling_(graph)
    else:
        check_size(original, size)
    check_same("The model with plain convolutions", graph, original, size)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder to write to.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=".deploy_") as folder:
        if "plain" in wanted:
            # First, for it may be impossible, and exporting takes long.
            try:
                write_plain(trained, original, size, Path(folder))
            except NoPlainConfig as error:
                if formats:
                    raise NoPlainConfig(f"{error} Leave plain out of --formats.") from None
                say(f"no plain config: {error}")
        functions = write(wanted, Path(folder), trained, graph, original, size)
        out.mkdir(exist_ok=True)
        remove_earlier(out)
        for path in sorted(Path(folder).iterdir()):
            os.replace(path, out / path.name)
            say(f"wrote {out / path.name}")
    if compare:
        for name, function in functions.items():
            say(f"{name}: {agreement(trained, original, function, size)}")


def check_size(graph: Graph, size: tuple[int, int]) -> None:
    """Raises InputError for images that the network cannot take."""
    try:
        if min(size) < 1:
            raise ValueError("sides are of at least one pixel")
        with torch.no_grad():
            graph(torch.zeros(1, graph.channels, *size))
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"--size {size[0]} {size[1]}: the network takes no such images ({reason}); give a "
            f"larger size."
        ) from error


def remove_earlier(folder: Path) -> None:
    """What was deployed here before would be taken for a part of what is written now."""
    if (folder / DESCRIPTION).is_file():
        for name in OUTPUTS:
            (folder / name).unlink(missing_ok=True)


def write(
    formats: Sequence[str],
    folder: Path,
    trained: Trained,
    graph: Graph,
    original: Graph,
    size: tuple[int, int] | None,
) -> dict[str, Function]:
    """Returns what was written, read back."""
    description = json.dumps(describe(trained, graph, size), indent=1)
    (folder / DESCRIPTION).write_text(description)
    functions = {}
    if "pt2" in formats or "onnx" in formats:
        program = export(graph, size)
    if "pt2" in formats:
        functions["pt2"] = write_program(program, folder / "model.pt2", description)
    if "onnx" in formats:
        path = folder / "model.onnx"
        functions["onnx"] = write_onnx(program, graph, size, path, description)
    for name, function in functions.items():
        found = check_same(name, function, original, size)
        say(f"{name}: at most {found:.1e} of the largest value away from the model")
    return functions


def describe(trained: Trained, graph: Graph, size: tuple[int, int] | None) -> dict:
    """What a program that runs the file must know."""
    cfg = trained.cfg
    shape = ["batch", graph.channels, *(size or ("height", "width"))]
    image = dict(name="image", dtype="float32", shape=shape, channels=channels_of(cfg, graph))
    image["values"] = "0 to 255; mean and standard deviation are applied inside"
    if size is None:
        image["least height and width"] = graph.least_side
    image["mean"], image["std"] = graph.mean.flatten().tolist(), graph.std.flatten().tolist()
    threshold = getattr(getattr(trained.model, "decode_head", None), "threshold", None)
    return dict(
        input=image,
        outputs=list(graph.outputs),
        meaning=type(graph).__doc__.partition("\n")[0],
        test_cfg=cfg.model.get("test_cfg"),
        threshold=threshold,
        **trained.dataset_meta,
        kernels=kernels_of(trained.model, graph.model),
        torch=torch.__version__,
    )


def kernels_of(model: nn.Module, plain: nn.Module) -> dict[str, list]:
    """Of every DCLS layer: the size it learned in, and the size of its plain convolution."""
    return {
        name: [list(layer.kernel_size), list(plain.get_submodule(name).kernel_size)]
        for name, layer in model.named_modules()
        if isinstance(layer, DclsNd)
    }


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
