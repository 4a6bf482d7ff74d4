"""The layouts of ConvNeXt's weights that are known, and our names for theirs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mmdcls.errors import InputError

# What holds the weights in a file that holds more; averaged ones come first. A Runner that averages
# stores the average as state_dict already.
TOP_KEYS = ("state_dict_ema", "state_dict", "model_ema", "model")
BACKBONE = "backbone."
# Of DistributedDataParallel, of torch.compile, and of trainers that hold a model.
WRAPPERS = ("module.", "_orig_mod.", "model.")

Renames = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """One row of the table.

    marks: patterns, each of which some tensor's name must have.
    renames: pattern and replacement, applied in this order, that give our names.
    """

    name: str
    marks: tuple[str, ...]
    renames: Renames = ()


MMPRETRAIN: Renames = (
    (r"^(stages\.\d+\.\d+)\.depthwise_conv\.", r"\1.dwconv."),
    (r"^(stages\.\d+\.\d+)\.pointwise_conv(\d)\.", r"\1.pwconv\2."),
)
TIMM: Renames = (
    # Of TIMMBackbone, and of features_only.
    (r"^timm_model\.", ""),
    (r"^(stem|stages)_(\d)\.", r"\1.\2."),
    (r"^stem\.", r"downsample_layers.0."),
    (r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
    (r"^stages\.(\d+)\.blocks\.(\d+)\.", r"stages.\1.\2."),
    (r"^(stages\.\d+\.\d+)\.conv_dw\.", r"\1.dwconv."),
    (r"^(stages\.\d+\.\d+)\.mlp\.fc(\d)\.", r"\1.pwconv\2."),
    (r"\.mlp\.grn\.weight$", ".grn.gamma"),
    (r"\.mlp\.grn\.bias$", ".grn.beta"),
)
HUGGING_FACE: Renames = (
    (r"^convnext(v2)?\.", ""),
    (r"^embeddings\.patch_embeddings\.", "downsample_layers.0.0."),
    (r"^embeddings\.layernorm\.", "downsample_layers.0.1."),
    (r"^encoder\.stages\.(\d)\.downsampling_layer\.", r"downsample_layers.\1."),
    (r"^encoder\.stages\.(\d)\.layers\.(\d+)\.", r"stages.\1.\2."),
    (r"^(stages\.\d\.\d+)\.layernorm\.", r"\1.norm."),
    (r"\.layer_scale_parameter$", ".gamma"),
    (r"\.grn\.weight$", ".grn.gamma"),
    (r"\.grn\.bias$", ".grn.beta"),
    # The output norms of a backbone.
    *((rf"^hidden_states_norms\.stage{i + 1}\.", f"norm{i}.") for i in range(4)),
)
HUGGING_FACE_DINOV3: Renames = (
    (r"^model\.", ""),
    (r"^stages\.(\d)\.downsample_layers\.", r"downsample_layers.\1."),
    (r"^stages\.(\d)\.layers\.(\d+)\.", r"stages.\1.\2."),
    (r"^(stages\.\d\.\d+)\.layer_norm\.", r"\1.norm."),
    *MMPRETRAIN,
)
TORCHVISION: Renames = (
    # Even entries of `features` are downsampling layers, odd ones are stages.
    *((rf"^features\.{2 * i}\.", rf"downsample_layers.{i}.") for i in range(4)),
    *((rf"^features\.{2 * i + 1}\.", rf"stages.{i}.") for i in range(4)),
    (r"^(stages\.\d+\.\d+)\.layer_scale$", r"\1.gamma"),
    *(
        (rf"^(stages\.\d+\.\d+)\.block\.{index}\.", rf"\1.{name}.")
        for index, name in ((0, "dwconv"), (2, "norm"), (3, "pwconv1"), (5, "pwconv2"))
    ),
)
OURS = Layout("mmdcls", (r"\.positions$",))
# The first row whose marks are all there is the file's.
LAYOUTS = (
    OURS,
    Layout("published DCLS ConvNeXt", (r"^stages\.\d+\.\d+\.d\w+conv\.P$",), MMPRETRAIN),
    Layout("published DCLS layers", (r"\.P$",)),
    Layout("torchvision ConvNeXt", (r"^features\.0\.0\.", r"\.layer_scale$"), TORCHVISION),
    Layout("timm ConvNeXt", (r"^(timm_model\.)?stem[._]0\.", r"\.conv_dw\."), TIMM),
    Layout(
        "Hugging Face ConvNeXt",
        (r"^(convnext(v2)?\.)?embeddings\.patch_embeddings\.", r"\.layers\.0\.dwconv\."),
        HUGGING_FACE,
    ),
    Layout(
        "Hugging Face DINOv3 ConvNeXt",
        (r"^(model\.)?stages\.0\.layers\.0\.depthwise_conv\.",),
        HUGGING_FACE_DINOV3,
    ),
    Layout("mmpretrain ConvNeXt", (r"^stages\.0\.0\.depthwise_conv\.",), MMPRETRAIN),
    Layout("original ConvNeXt", (r"^stages\.0\.0\.dwconv\.",)),
)
PLAIN = Layout("names as in the model", ())


@dataclass(frozen=True)
class Source:
    """A checkpoint's weights, the backbone's by our names.

    others: tensors of a whole model outside its backbone.
    """

    layout: Layout
    backbone: dict[str, Tensor]
    others: dict[str, Tensor]

    @property
    def is_convnext(self) -> bool:
        return "ConvNeXt" in self.layout.name


def weights_in(checkpoint: Mapping, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint; raises InputError where it has none.

    key: the entry that holds them; None takes the first of `TOP_KEYS`, or the file as it is.
    """
    if key is not None and not isinstance(checkpoint.get(key), Mapping):
        raise InputError(f"The file has no weights under key={key!r}; it has {list(checkpoint)}.")
    tensors = tensors_in(checkpoint, key)
    if not tensors:
        raise InputError(f"The file holds no weights; it has {', '.join(map(str, checkpoint))}.")
    return tensors


def key_of(checkpoint: Mapping) -> str | None:
    """The entry that holds the weights, None where the file is the weights."""
    return next((key for key in TOP_KEYS if isinstance(checkpoint.get(key), Mapping)), None)


def tensors_in(checkpoint: Mapping, key: str | None = None) -> dict[str, Tensor]:
    key = key or key_of(checkpoint)
    weights = checkpoint[key] if key else checkpoint
    # A Runner's average has a count of its steps beside what begins so.
    tensors = {
        name.removeprefix("module."): value
        for name, value in weights.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    while tensors and (wrapper := next((w for w in WRAPPERS if all_begin(tensors, w)), None)):
        tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    return tensors


def all_begin(tensors: Mapping[str, Tensor], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in tensors)


def recognise(weights: Mapping[str, Tensor]) -> Source:
    is_whole = any(name.startswith(BACKBONE) for name in weights)
    prefix = BACKBONE if is_whole else ""
    others = {k: v for k, v in weights.items() if not k.startswith(prefix)}
    backbone = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    layout = layout_of(backbone)
    return Source(layout, {renamed(k, layout): v for k, v in backbone.items()}, others)


def layout_of(names: Mapping[str, Tensor]) -> Layout:
    for layout in LAYOUTS:
        if all(any(re.search(mark, name) for name in names) for mark in layout.marks):
            return layout
    return PLAIN


def renamed(name: str, layout: Layout) -> str:
    for pattern, replacement in layout.renames:
        name = re.sub(pattern, replacement, name)
    return name
