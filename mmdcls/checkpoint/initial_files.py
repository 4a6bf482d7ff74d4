"""Files of mmengine's own `init_cfg=dict(type="Pretrained")`, which loads whatever fits."""

from mmengine.runner import CheckpointLoader
from torch import nn

from mmdcls.dcls.dense_loading import as_loaded
from mmdcls.errors import InputError
from mmdcls.wrapping import unwrapped

from .fitting import is_stranger, refusal, weights_of


def initial_weights(file: str, where: str) -> dict:
    """The checkpoint of an init_cfg, which is at this place of the config."""
    try:
        return CheckpointLoader.load_checkpoint(file, map_location="cpu")
    except OSError as error:
        raise InputError(
            f"{file} of {where} could not be had ({getattr(error, 'reason', error)}): give another "
            f"file with --cfg-options {where}.checkpoint=FILE, or start from random weights with "
            f"{where}=None."
        ) from error


def check_pretrained(model: nn.Module) -> None:
    """Refuse files of `init_cfg=dict(type="Pretrained")` that leave most of a module as it was."""
    for path, module in unwrapped(model).named_modules():
        configs = getattr(module, "init_cfg", None) or []
        for config in [configs] if isinstance(configs, dict) else configs:
            if config.get("type") != "Pretrained":
                continue
            file, prefix = config["checkpoint"], config.get("prefix") or ""
            if prefix and not prefix.endswith("."):
                prefix += "."
            where = f"model.{path}.init_cfg" if path else "model.init_cfg"
            whole = weights_of(initial_weights(file, where))
            given = {
                name.removeprefix(prefix): value
                for name, value in whole.items()
                if name.startswith(prefix)
            }
            found, wanted = as_loaded(module, given), module.state_dict()
            if is_stranger(found, wanted):
                raise refusal(
                    f"The checkpoint {file} of {where}, read with prefix={prefix!r},",
                    found or whole,
                    wanted,
                    "give the checkpoint of such a model, and as prefix what precedes these names "
                    "in the file, or use mmdcls.Pretrained, which knows other layouts",
                )
