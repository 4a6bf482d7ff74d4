"""The configs that come with mmdcls: what each trains, with which kernel, and what it came to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from mmengine import load
from mmengine.config import Config

from mmdcls.registry import bare_name
from mmdcls.shipped import leaves, models


@dataclass(frozen=True)
class Entry:
    """A config and what its metafile says of it.

    name: folder and name, as `mmdcls.config_path` takes it.
    kernel: extent, elements and interpolation, as far as the config says them.
    figures: data set and metric, "ADE20K mIoU", to what the metafile has for it.
    weights: address of trained weights, or None.
    model: the name of a trained model that comes with mmdcls, or None.
    """

    name: str
    task: str
    kernel: str
    figures: Mapping[str, float]
    weights: str | None
    model: str | None


def entries(pattern: str = "") -> Iterator[Entry]:
    """Those whose name or task has the pattern in it; `*` and `?` stand for anything."""
    known = {}
    for path in leaves():
        metafile = path.parent / "metafile.yml"
        if metafile not in known:
            models = load(metafile)["Models"] if metafile.is_file() else []
            known[metafile] = {Path(model["Config"]).name: model for model in models}
        entry = entry_of(path, known[metafile].get(path.name, {}))
        if any(fnmatch(text.lower(), f"*{pattern.lower()}*") for text in (entry.name, entry.task)):
            yield entry


def entry_of(path: Path, model: Mapping) -> Entry:
    cfg = Config.fromfile(path)
    figures = {
        f"{result['Dataset']} {metric}": value
        for result in model.get("Results", [])
        for metric, value in result["Metrics"].items()
    }
    name = f"{path.parent.name}/{path.stem}"
    ours = {model.config.name: name for name, model in models().items()}.get(path.name)
    return Entry(name, task_of(cfg), kernel_of(cfg), figures, model.get("Weights"), ours)


def task_of(cfg: Config) -> str:
    if cfg.default_scope == "mmdet":
        judges_masks = "segm" in cfg.test_evaluator.metric
        return "instance segmentation" if judges_masks else "object detection"
    return {"mmseg": "semantic segmentation", "mmpretrain": "classification"}[cfg.default_scope]


def kernel_of(cfg: Config) -> str:
    backbone = cfg.model.backbone
    rule = backbone.dcls if bare_name(backbone.type) == "Converted" else backbone
    return "; ".join(dict.fromkeys(map(kernel_text, rule if isinstance(rule, list) else [rule])))


def kernel_text(rule: Mapping) -> str:
    size, count = rule.get("kernel_size"), rule["kernel_count"]
    sides = size if isinstance(size, (list, tuple)) else (size, size)
    extent = "as the dense kernels" if size is None else "x".join(map(str, sides))
    elements = f"{count} elements" if isinstance(count, int) else f"a {count} number of elements"
    return f"{extent}, {elements}, {rule.get('interpolation', 'bilinear')}"
