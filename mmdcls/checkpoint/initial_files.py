"""Files of mmengine's own `init_cfg=dict(type="Pretrained")`, which loads whatever fits."""

from mmengine.runner import CheckpointLoader
from torch import nn

from mmdcls.dcls.dense_loading import as_loaded
from mmdcls.wrapping import unwrapped

from .fitting import is_stranger, refusal, weights_of


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
            whole = weights_of(CheckpointLoader.load_checkpoint(file, map_location="cpu"))
            given = {
                name.removeprefix(prefix): value
                for name, value in whole.items()
                if name.startswith(prefix)
            }
            found, wanted = as_loaded(module, given), module.state_dict()
            if is_stranger(found, wanted):
                where = f"model.{path}.init_cfg" if path else "model.init_cfg"
                raise refusal(
                    f"The checkpoint {file} of {where}, read with prefix={prefix!r},",
                    found or whole,
                    wanted,
                    "give the checkpoint of such a model, and as prefix what precedes these names "
                    "in the file, or use mmdcls.Pretrained, which knows other layouts",
                )
