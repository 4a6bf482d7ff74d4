"""Settings that a model was built with and that changed nothing in it."""

from mmengine.config import Config
from torch import nn

from mmdcls.config import nodes
from mmdcls.dcls import DclsNd
from mmdcls.errors import InputError
from mmdcls.wrapping import unwrapped


def check_layers(cfg: Config, model: nn.Module) -> None:
    """Raise InputError for a conv_cfg of ours where no convolution became a DCLS layer."""
    modules = dict(unwrapped(model).named_modules())
    for path, node in nodes("model", cfg.get("model")):
        conv_cfg = node.get("conv_cfg") or {}
        if not str(conv_cfg.get("type")).startswith("mmdcls.Dcls"):
            continue
        owner = modules.get(path.removeprefix("model").lstrip("."))
        if owner is None or any(isinstance(module, DclsNd) for module in owner.modules()):
            continue
        kinds = {
            "x".join(map(str, module.kernel_size))
            + (" (depthwise)" if module.groups == module.in_channels > 1 else "")
            for module in owner.modules()
            if isinstance(module, nn.modules.conv._ConvNd)
        }
        filters = [
            f"{name}={conv_cfg[name]}"
            for name in ("where_kernel_size", "where_depthwise")
            if conv_cfg.get(name) is not None
        ]
        raise InputError(
            f"{path}.conv_cfg, with {' and '.join(filters) or 'no filter'}, makes no DCLS layer: "
            f"the convolutions there are of {', '.join(sorted(kinds)) or 'no size'}; name one of "
            f"these that is larger than 1x1, or leave conv_cfg out."
        )
