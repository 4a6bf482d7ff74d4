"""timm's ConvNeXt, ConvFormer and FastViT for spectrograms, with DCLS layers by rule."""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module

from torch import nn

from mmdcls.dcls import DclsNd, convert
from mmdcls.dcls.arguments import check_choice
from mmdcls.errors import InputError

from .registry import MODELS

# Mel bands and frames.
STEM = (2, 16)
# What all three have in their spatial kernels of 7x7 cells: FastViT has others of 3x3.
WHERE = dict(where=".*", where_depthwise=True, where_kernel_size=7, start="random")
DRAWS = ("timm", "torch")


@MODELS.register_module(name="SpectrogramNetwork")
def spectrogram_network(
    network: str,
    num_classes: int,
    depths: Sequence[int] | None = None,
    widths: Sequence[int] | None = None,
    dcls: Mapping | None = None,
    draw: str = "timm",
    **options,
) -> nn.Module:
    """A network of timm whose first layer is a convolution of 2 bands by 16 frames, and gives
    logits.

    network: a row of `NETWORKS`; options are those of its class in timm.
    depths, widths: of the stages; None for the published ones.
    dcls: arguments of `mmdcls.dcls.Rule` for its depthwise 7x7 kernels; None leaves them dense.
    draw: "timm" draws weights as timm and the published DCLS layers do, with a deviation of 0.02
        that is made for 64 channels and more; "torch" as torch does, by the size of each layer.

    The names are timm's: weights of timm and published ones load.
    """
    check_choice("network", network, NETWORKS)
    check_choice("draw", draw, DRAWS)
    check_timm(network)
    model = NETWORKS[network](num_classes, depths, widths, options)
    if dcls is not None:
        convert(model, WHERE | dict(dcls))
    if draw == "torch":
        for module in model.modules():
            if isinstance(module, DclsNd):
                module.reset_weight()
            elif hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return model


def check_timm(network: str) -> None:
    try:
        import_module("timm")
    # A torchvision for another torch raises RuntimeError.
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"network={network!r} is built by timm, which cannot be imported ({error}): pip "
            f'install -c constraints.txt -e ".[audio]", with a torchvision for the same torch.'
        ) from error


def convnext(num_classes: int, depths: tuple | None, widths: tuple | None, options: dict):
    from timm.models.convnext import ConvNeXt

    sizes = dict(depths=depths or (3, 3, 9, 3), dims=widths or (96, 192, 384, 768))
    model = ConvNeXt(num_classes=num_classes, **sizes, **options)
    return with_stem(model, "stem.0", bias=True)


def convformer(num_classes: int, depths: tuple | None, widths: tuple | None, options: dict):
    from timm.models.metaformer import LayerNorm2dNoBias, MetaFormer, SepConv

    sizes = dict(depths=depths or (3, 3, 9, 3), dims=widths or (64, 128, 320, 512))
    kinds = dict(token_mixers=SepConv, norm_layers=LayerNorm2dNoBias)
    model = MetaFormer(num_classes=num_classes, **sizes, **kinds, **options)
    return with_stem(model, "stem.conv", bias=False)


def fastvit(num_classes: int, depths: tuple | None, widths: tuple | None, options: dict):
    from timm.models.fastvit import FastVit, RepConditionalPosEnc

    encoding = partial(RepConditionalPosEnc, spatial_shape=(7, 7))
    model = FastVit(
        layers=depths or (4, 4, 12, 4),
        embed_dims=widths or (64, 128, 256, 512),
        pos_embs=(None, None, None, encoding),
        token_mixers=("repmixer", "repmixer", "repmixer", "attention"),
        num_classes=num_classes,
        **options,
    )
    return with_stem(model, "stem", bias=False)


def with_stem(model: nn.Module, name: str, bias: bool) -> nn.Module:
    """With a first convolution of one channel, drawn as timm draws the network's others."""
    width = next(iter(model.get_submodule(name).parameters())).shape[0]
    stem = nn.Conv2d(1, width, STEM, STEM, bias=bias)
    nn.init.trunc_normal_(stem.weight, std=0.02)
    if bias:
        nn.init.zeros_(stem.bias)
    model.set_submodule(name, stem)
    return model


NETWORKS = dict(convnext=convnext, convformer=convformer, fastvit=fastvit)
