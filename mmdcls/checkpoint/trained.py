"""A model with the weights of a checkpoint, for whatever happens after training."""

from typing import NamedTuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

import mmdcls  # noqa: F401  lets torch load what a Runner wrote
from mmdcls.config import metainfo_of, read_config, sets_of, without_pretrained
from mmdcls.dcls.dense_loading import as_loaded
from mmdcls.errors import InputError

from .files import local_file, read_file
from .fitting import check_values, misfits_of, refusal, some_of, weights_of
from .load import is_foreign
from .resuming import fault_of_layers

# Serves the training only.
AUXILIARY = "auxiliary_head"


class Trained(NamedTuple):
    cfg: Config
    model: nn.Module  # in eval, on the CPU
    dataset_meta: dict  # classes and palette, where the config or the checkpoint names them


def load_trained(config: str, checkpoint: str, options: dict | None = None) -> Trained:
    """Build the model of a config, without its auxiliary heads, and fill all of it.

    Raises InputError where the checkpoint lacks a tensor of the model or has one too many.
    """
    cfg = without_pretrained(read_config(config, options))
    file = local_file(checkpoint)
    loaded = read_file(file)
    parts = {key: value for key, value in cfg.model.items() if key != AUXILIARY}
    model = MODELS.build(parts).eval()
    if is_foreign(model, loaded):
        raise InputError(
            f"The checkpoint {checkpoint} is in the layout of others; turn it into one of ours "
            f"with `mmdcls convert {checkpoint} NEW_FILE --config {config}`, and take that."
        )
    given, wanted = weights_of(loaded), model.state_dict()
    given = {name: value for name, value in given.items() if not name.startswith(f"{AUXILIARY}.")}
    source, advice = f"The checkpoint {checkpoint}", "give the config it was trained with"
    found = as_loaded(model, given)
    if misfits_of(found, wanted):
        raise refusal(source, found, wanted, advice)
    if more := [name for name in given if name not in wanted]:
        raise InputError(
            f"{source} is of a larger model: it has {len(more)} tensors that the config has no "
            f"place for ({some_of(more)}); {advice}."
        )
    if fault := fault_of_layers(source, loaded, model, advice):
        raise fault
    check_values(source, given)
    model.load_state_dict(given)
    return Trained(cfg, model, dataset_meta_of(cfg, model, loaded))


def dataset_meta_of(cfg: Config, model: nn.Module, checkpoint: dict) -> dict:
    """Classes and palette of the test data set, or else of the checkpoint.

    Those that are as many as the model's come first.
    """
    found = [metainfo_of(node) for _, node in sets_of(cfg, "test")[:1]]
    found.append(checkpoint.get("meta", {}).get("dataset_meta") or {})
    found = [meta for meta in found if meta.get("classes")]
    counts = {getattr(module, "num_classes", None) for module in model.modules()}
    found.sort(key=lambda meta: len(meta["classes"]) not in counts)
    if not found:
        return {}
    classes, palette = found[0]["classes"], found[0].get("palette") or ()
    if len(palette) < len(classes):
        # As mmseg draws them for a data set without.
        palette = np.random.RandomState(42).randint(0, 255, (len(classes), 3)).tolist()
    return dict(classes=classes, palette=list(palette[: len(classes)]))
