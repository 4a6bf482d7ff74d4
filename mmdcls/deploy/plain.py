"""A trained model as a config of mmseg, mmdet and mmpretrain only, with a checkpoint that fits."""

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmdcls.checkpoint.trained import AUXILIARY, Trained
from mmdcls.config import nodes
from mmdcls.dcls import DclsNd, merged
from mmdcls.dcls.arguments import is_whole
from mmdcls.errors import InputError
from mmdcls.registry import bare_name

from .exporting import check_same
from .graphs import Graph, graph_of

# Of the config, what a test needs not.
TRAINING = (
    "auto_scale_lr",
    "custom_hooks",
    "custom_imports",
    "default_hooks",
    "load_from",
    "optim_wrapper",
    "param_scheduler",
    "resume",
    "train_cfg",
    "train_dataloader",
    "work_dir",
)
PLAIN_SIZE = 7
# Networks of timm that can be built with other kernels, by the beginning of their names, and how.
TIMM_SIZES = {
    ("convformer", "caformer"): lambda size: dict(kernel_size=size, padding=size // 2),
    ("convnext",): lambda size: dict(kernel_sizes=size),
    ("mambaout",): lambda size: dict(kernel_size=size),
}
# Our ConvNeXt's names in mmpretrain's.
NAMES = {".dwconv": ".depthwise_conv", ".pwconv": ".pointwise_conv"}


class NoPlainConfig(InputError):
    """There is no such network in mmseg, mmdet or mmpretrain."""


def write_plain(
    trained: Trained, original: Graph, size: tuple[int, int] | None, folder: Path
) -> None:
    """Write config.py and weights.pth.

    Raises NoPlainConfig where a kernel is larger than the plain network's, and where there is no
    such network.
    """
    if trained.cfg.model.backbone.type == "mmdcls.DclsConvNeXt":
        check_kernels(trained.model.backbone)
    cfg = plain_config(trained.cfg)
    model = MODELS.build(cfg.model).eval()
    weights = plain_weights(trained.model, model)
    model.load_state_dict(weights)
    check_same("The plain network", graph_of(cfg, model), original, size)
    cfg.dump(folder / "config.py")
    torch.save(
        dict(state_dict=weights, meta=dict(dataset_meta=trained.dataset_meta)),
        folder / "weights.pth",
    )


def plain_config(cfg: Config) -> Config:
    """The config for tests, with counterparts from elsewhere for all that is ours.

    Raises NoPlainConfig where there is none.
    """
    found = {key: value for key, value in cfg.to_dict().items() if key not in TRAINING}
    found["model"].pop(AUXILIARY, None)
    for _, node in list(nodes("model", found["model"])):
        # All weights are in the checkpoint.
        node.pop("init_cfg", None)
        if node.get("type") == "mmdcls.Converted":
            node.update(plain_network(node))
            del node["network"], node["dcls"]
    for path, node in list(nodes("model", found["model"])):
        for key, value in node.items():
            kind = value.get("type") if isinstance(value, dict) else None
            if not isinstance(kind, str) or not kind.startswith("mmdcls."):
                continue
            if key == "conv_cfg":
                node[key] = dict(type=f"Conv{kind[-2:]}")
            elif kind == "mmdcls.DclsConvNeXt":
                node[key] = plain_convnext(value)
            else:
                raise NoPlainConfig(f"{path}.{key} is {kind}, which has no plain counterpart.")
    return Config(found)


def check_kernels(backbone: nn.Module) -> None:
    """Raises NoPlainConfig where a kernel is larger than mmpretrain's ConvNeXt has."""
    for name, module in merged(backbone).named_modules():
        if name.endswith(".dwconv") and max(module.kernel_size) > PLAIN_SIZE:
            size = " x ".join(map(str, module.kernel_size))
            raise NoPlainConfig(
                f"backbone.{name} needs {size} cells, and the plain ConvNeXt, mmpretrain's, has "
                f"{PLAIN_SIZE} x {PLAIN_SIZE}."
            )


def plain_convnext(backbone: dict) -> dict:
    if find_spec("mmpretrain") is None:
        raise NoPlainConfig(
            "the plain ConvNeXt is mmpretrain's, which is not installed; pip install .[cls]."
        )
    kept = ("arch", "in_channels", "drop_path_rate", "use_grn", "with_cp")
    return dict(
        type="mmpretrain.ConvNeXt",
        out_indices=list(backbone.get("out_indices", (0, 1, 2, 3))),
        gap_before_final_norm=False,
        # mmpretrain compares it with 0, and ours may be None.
        layer_scale_init_value=backbone.get("layer_scale_init_value", 1e-6) or 0.0,
        **{key: backbone[key] for key in kept if key in backbone},
    )


def plain_network(converted: dict) -> dict:
    """What differs in the config of the network before it was converted."""
    options: dict = dict(type=converted["network"])
    if bare_name(options["type"]) != "TIMMBackbone":
        return options
    options["pretrained"] = False
    rules = converted["dcls"] if isinstance(converted["dcls"], list) else [converted["dcls"]]
    size = rules[0].get("kernel_size")
    for beginnings, sizes in TIMM_SIZES.items():
        if converted.get("model_name", "").startswith(beginnings) and is_whole(size):
            options.update(sizes(size))
    return options


def plain_weights(trained: nn.Module, target: nn.Module) -> dict[str, Tensor]:
    """The state of a trained model for a plain one, whose kernels may be larger."""
    plain = merged(trained)
    weights = plain.state_dict()
    for name, module in trained.named_modules():
        if isinstance(module, DclsNd):
            ours, theirs = plain.get_submodule(name), target.get_submodule(renamed(name, target))
            weights[f"{name}.weight"] = enlarged(name, ours, theirs)
    return {renamed(name, target): value for name, value in weights.items()}


def renamed(name: str, target: nn.Module) -> str:
    if type(target.backbone).__name__ == "ConvNeXt" and name.startswith("backbone."):
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
    return name


def enlarged(name: str, conv: nn.Module, target: nn.Module) -> Tensor:
    """The kernel with borders of zeros, as large as another convolution's."""
    sides = []
    for ours, theirs, size, wanted in zip(
        before(conv), before(target), conv.kernel_size, target.kernel_size, strict=True
    ):
        first, last = theirs - ours, wanted - size - (theirs - ours)
        if min(first, last) < 0:
            sizes = [" x ".join(map(str, layer.kernel_size)) for layer in (conv, target)]
            raise NoPlainConfig(
                f"{name} needs {sizes[0]} cells, and the plain network has {sizes[1]}."
            )
        sides = [first, last, *sides]
    return F.pad(conv.weight.detach(), sides)


def before(conv: nn.Module) -> tuple[int, ...]:
    """Cells of padding in front, per axis."""
    if conv.padding == "same":
        return tuple((size - 1) // 2 for size in conv.kernel_size)
    return (0,) * len(conv.kernel_size) if conv.padding == "valid" else tuple(conv.padding)
