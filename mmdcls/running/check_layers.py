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
        sizes = {
            "x".join(map(str, module.kernel_size))
            for module in owner.modules()
            if isinstance(module, nn.modules.conv._ConvNd)
        }
        raise InputError(
            f"{path}.conv_cfg, with where_kernel_size={conv_cfg.get('where_kernel_size')}, makes "
            f"no DCLS layer: the convolutions there are of {', '.join(sorted(sizes)) or 'no size'};"
            f" name one of these that is larger than 1x1, or leave conv_cfg out."
        )
