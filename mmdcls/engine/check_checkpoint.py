"""Checkpoints of another model, which mmengine would load as far as names and shapes agree."""

from collections.abc import Mapping

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmdcls.checkpoint.misfits import misfits_of, some_of
from mmdcls.errors import InputError


def unwrapped(model: nn.Module) -> nn.Module:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def weights_of(checkpoint: Mapping) -> dict[str, Tensor]:
    weights = checkpoint.get("state_dict", checkpoint)
    return {name.removeprefix("module."): value for name, value in weights.items()}


def refusal(
    source: str, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], advice: str
) -> InputError:
    misfits = misfits_of(given, wanted)
    return InputError(
        f"{source} is of another model: {len(misfits)} of {len(wanted)} tensors do not fit "
        f"({some_of(list(misfits.values()))}); the file has {some_of(list(given))}; {advice}."
    )


def is_stranger(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    """Whether less than half of the backbone, or of a model without one, is in the checkpoint."""
    backbone = {name: value for name, value in wanted.items() if name.startswith("backbone.")}
    part = backbone or wanted
    return 2 * len(misfits_of(given, part)) > len(part)


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
            wanted = module.state_dict()
            if is_stranger(given, wanted):
                where = f"model.{path}.init_cfg" if path else "model.init_cfg"
                raise refusal(
                    f"The checkpoint {file} of {where}, read with prefix={prefix!r},",
                    given or whole,
                    wanted,
                    "give the checkpoint of such a model, and as prefix what precedes these names "
                    "in the file, or use mmdcls.Pretrained, which knows other layouts",
                )
