"""The layouts of weights that are known, and our names for theirs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mmdcls.errors import InputError

from .renames import (
    FASTVIT,
    FASTVIT_WITHOUT_ENCODING,
    HOLDERS,
    METAFORMER,
    METAFORMER_LINEAR,
    Renames,
)

# What holds the weights in a file that holds more; averaged ones come first. A Runner that averages
# stores the average as state_dict already.
TOP_KEYS = ("state_dict_ema", "state_dict", "model_ema", "model")
BACKBONE = "backbone."
# Of DistributedDataParallel, of torch.compile, and of trainers that hold a model.
WRAPPERS = ("module.", "_orig_mod.", "model.")


@dataclass(frozen=True)
class Layout:
    """One row of the table.

    marks: patterns, each of which some tensor's name must have.
    renames: pattern and replacement, applied in this order, that give the names by which weights
        are compared: those of `DclsConvNeXt`, or of the code that published another network.
    linear: pattern of weights, by these names, that are linear layers' in the published code.
    is_loose: whether the published code itself passes over what a file has too much.
    """

    name: str
    marks: tuple[str, ...]
    renames: Renames = ()
    linear: str | None = None
    is_loose: bool = False


MMPRETRAIN: Renames = (
    (r"^(stages\.\d+\.\d+)\.depthwise_conv\.", r"\1.dwconv."),
    (r"^(stages\.\d+\.\d+)\.pointwise_conv(\d)\.", r"\1.pwconv\2."),
)
TIMM: Renames = (
    (r"^stem\.", r"downsample_layers.0."),
    (r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
    (r"^head\.norm\.", "norm."),
    (r"^head\.fc\.", "head."),
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
TIMM_FASTVIT = r"^stages\.0\.blocks\.0\.mlp\.conv\.conv\."
PUBLISHED = Layout("published DCLS layers", (r"\.P$",))
# The first row whose marks are all there is the file's.
LAYOUTS = (
    OURS,
    Layout("published DCLS ConvNeXt", (r"^stages\.\d+\.\d+\.d\w+conv\.P$",), MMPRETRAIN),
    PUBLISHED,
    Layout("torchvision ConvNeXt", (r"^features\.0\.0\.", r"\.layer_scale$"), TORCHVISION),
    Layout("timm ConvNeXt", (r"^stem\.0\.", r"\.conv_dw\."), TIMM),
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
    Layout(
        "timm MetaFormer",
        (r"^stem\.conv\.", r"^stages\.0\.blocks\.0\.token_mixer\.pwconv1\."),
        METAFORMER,
        METAFORMER_LINEAR,
    ),
    Layout(
        "original CAFormer",
        (r"^downsample_layers\.0\.post_norm\.", r"^stages\.2\.0\.token_mixer\.qkv\."),
        is_loose=True,
    ),
    Layout("original MetaFormer", (r"^downsample_layers\.0\.post_norm\.",)),
    Layout("timm FastViT", (TIMM_FASTVIT, r"^stages\.3\.pos_emb\.pos_enc\."), FASTVIT),
    Layout("timm FastViT without encoding", (TIMM_FASTVIT,), FASTVIT_WITHOUT_ENCODING),
    Layout("original FastViT", (r"^patch_embed\.", r"^network\.0\.0\.convffn\.")),
)
PLAIN = Layout("names as in the model", ())


@dataclass(frozen=True)
class Source:
    """A checkpoint's weights, the backbone's by our names.

    naming: whose names they had, where the layout tells only how elements are stored.
    others: tensors of a whole model outside its backbone.
    """

    layout: Layout
    naming: Layout
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


def backbone_of(model: nn.Module) -> nn.Module:
    """Of a whole model its backbone; else the model itself."""
    is_whole = any(name.startswith(BACKBONE) for name in model.state_dict())
    return model.backbone if is_whole else model


def recognise(weights: Mapping[str, Tensor]) -> Source:
    is_whole = any(name.startswith(BACKBONE) for name in weights)
    prefix = BACKBONE if is_whole else ""
    others = {k: v for k, v in weights.items() if not k.startswith(prefix)}
    backbone = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    naming = naming_of(backbone)
    ours = {our_name(name, naming): value for name, value in backbone.items()}
    return Source(layout_of(backbone), naming, ours, others)


def layout_of(names: Iterable[str]) -> Layout:
    return first_of(LAYOUTS, names)


def naming_of(names: Iterable[str]) -> Layout:
    """The layout that explains the names of a file, or a model, with whatever kind of elements."""
    return first_of([layout for layout in LAYOUTS if layout not in (OURS, PUBLISHED)], names)


def first_of(layouts: Iterable[Layout], names: Iterable[str]) -> Layout:
    names = [renamed(name, HOLDERS) for name in names]
    for layout in layouts:
        if all(any(re.search(mark, name) for name in names) for mark in layout.marks):
            return layout
    return PLAIN


def our_name(name: str, naming: Layout) -> str:
    return renamed(renamed(name, HOLDERS), naming.renames)


def renamed(name: str, renames: Renames) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name
