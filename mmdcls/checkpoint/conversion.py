"""Turn a checkpoint in any known layout into one of ours, or ours into the published layout."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmdcls.dcls.elements import PLACES
from mmdcls.dcls.groups import position_groups
from mmdcls.errors import InputError

from .classifiers import OUR_HEAD, in_one_piece, last_norm
from .elements import by_layer, interpolation_of
from .fitting import some_of
from .layouts import BACKBONE, OURS, backbone_of, naming_of, our_name, recognise, weights_in
from .load import Reading, Report, is_of_classifier_or_training, weights_for
from .published import to_published


def check_target(source: str, target: Path) -> None:
    """Raises InputError for a target that is the source, no file, or named as another format."""
    if target.exists() and not target.is_file():
        raise InputError(f"{target} is there and is no file; give the name of a file to write.")
    if target.exists() and os.path.exists(source) and os.path.samefile(source, target):
        raise InputError(f"{target} is the source itself; give the name of another file to write.")
    if target.suffix == ".safetensors":
        raise InputError(f"{target}: what is written is a file of torch; give it the suffix .pth.")


def convert(
    model: nn.Module, content: Mapping, source: str, reading: Reading | None = None
) -> tuple[dict, Report]:
    """A checkpoint of what the source holds of the model, for load_from and "Pretrained".

    Raises InputError where the source does not fit.
    """
    weights, report = weights_for(model, content, source, reading)
    strange = [name for name in report.unused if not is_of_classifier_or_training(name)]
    if strange and report.left and hasattr(model, "backbone"):
        raise InputError(
            f"{source} is of another kind of model: the config has no place for "
            f"{some_of(strange)}, and the file nothing for {some_of(report.left)}; give the config "
            f"of such a model."
        )
    return dict(state_dict=weights, meta=meta_of(content)), report


def meta_of(content: Mapping) -> dict:
    """The checkpoint's own notes; the classes also where mmengine's stack looks for them."""
    meta = content.get("meta")
    meta = dict(meta) if isinstance(meta, Mapping) else {}
    if "CLASSES" in meta and "dataset_meta" not in meta:
        meta["dataset_meta"] = dict(classes=meta["CLASSES"], palette=meta.get("PALETTE"))
    return meta


def in_published_layout(
    content: Mapping,
    model: nn.Module,
    source: str,
    reading: Reading | None = None,
    dataset_meta: Mapping | None = None,
) -> dict[str, dict]:
    """Our checkpoint as the published code keeps it: a backbone, a classifier, or a whole model.

    Their layers each store the positions, P and SIG, that they share.

    dataset_meta: classes and palette, which the readers of whole models look for beside them.
    """
    found = recognise(weights_in(content, reading.key if reading else None))
    if found.layout is not OURS:
        raise InputError(f"{source} is a {found.layout.name}: only our own files are turned back.")
    if any(".grn." in name for name in found.backbone):
        raise InputError(f"{source} has response normalisation, which the published code has not.")
    weights = with_borrowed(by_layer(found.backbone), backbone_of(model))
    for name, value in weights.items():
        is_linear = found.naming.linear and re.search(found.naming.linear, name)
        if is_linear and value.shape[2:] == (1, 1):
            weights[name] = value.flatten(1)
    weights = to_published(weights, interpolation_of(model))
    norm = last_norm(backbone_of(model))
    is_classifier = norm is not None and all(name.startswith(OUR_HEAD) for name in found.others)
    if is_classifier:
        weights = in_one_piece(weights, found.others, norm)
    if is_classifier or not found.others:
        # The key that the published files of this network have.
        return {"model" if "ConvNeXt" in found.naming.name else "state_dict_ema": weights}
    backbone = {f"{BACKBONE}{name}": value for name, value in weights.items()}
    named = {name.upper(): value for name, value in (dataset_meta or {}).items()}
    return dict(state_dict={**backbone, **found.others}, meta={**named, **meta_of(content)})


def with_borrowed(weights: Mapping[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Weights by our names, with the positions that layers borrow from another given to each."""
    result = dict(weights)
    naming = naming_of(backbone.state_dict())
    for group in position_groups(backbone):
        for kind in PLACES:
            value = weights.get(our_name(f"{group.name}.{kind}", naming))
            if value is not None:
                result |= {our_name(f"{layer}.{kind}", naming): value for layer in group.layers}
    return result


def write(content: dict, target: Path) -> None:
    """Written beside its place and moved there whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(half, "wb") as file:
            torch.save(content, file)
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
