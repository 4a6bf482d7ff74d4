"""The published rule, PyPI's `dcls` layers in timm's own classes, beside the same by ours."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from DCLS.construct.modules import Dcls2d as PublishedDcls2d
from timm.models import fastvit, metaformer, resnet
from torch import nn

from helpers.published import VERSIONS
from helpers.published_convnext import randomised
from mmdcls.checkpoint.layouts import naming_of, our_name
from mmdcls.dcls import convert


def convformer(depths: tuple[int, ...] = (2, 1, 2, 1), **options) -> nn.Module:
    options = dict(token_mixers=metaformer.SepConv) | options
    return metaformer.MetaFormer(depths=depths, dims=(8, 16, 32, 64), num_classes=5, **options)


def caformer() -> nn.Module:
    mixers = [metaformer.SepConv] * 2 + [metaformer.Attention] * 2
    norms = [metaformer.LayerNorm2dNoBias] * 2 + [metaformer.LayerNormNoBias] * 2
    return convformer(token_mixers=mixers, norm_layers=norms)


def fastvit_sa() -> nn.Module:
    return fastvit_t(partial(fastvit.RepConditionalPosEnc, spatial_shape=(7, 7)))


def fastvit_t(encoding: Callable | None = None) -> nn.Module:
    return fastvit.FastVit(
        layers=(2, 1, 2, 1),
        embed_dims=(8, 16, 32, 64),
        mlp_ratios=(2, 2, 2, 2),
        pos_embs=(None, None, None, encoding),
        token_mixers=("repmixer", "repmixer", "repmixer", "attention" if encoding else "repmixer"),
        num_classes=5,
    )


def for_spectrograms(build: Callable[[], nn.Module], stem: str) -> nn.Module:
    """With the stem of the published audio models: one channel, 2 by 16 cells, no bias."""
    model = build()
    model.set_submodule(stem, nn.Conv2d(1, 8, (2, 16), (2, 16), bias=False))
    return model


@dataclass(frozen=True)
class Network:
    """A shallow network, and what the published rule replaces in it.

    filter: timm's own way from the published code's names to its own.
    """

    build: Callable[[], nn.Module]
    rule: dict
    filter: Callable | None = None
    image: tuple[int, ...] = (1, 3, 64, 64)
    axis_order: str | None = None


DEPTHWISE = dict(where=".*", where_depthwise=True)
DEPTHWISE_7X7 = dict(DEPTHWISE, where_kernel_size=7)
BILINEAR = dict(kernel_size=17, kernel_count=34, interpolation="bilinear_normalized")
GAUSSIAN = dict(kernel_size=23, kernel_count=26, interpolation="gaussian")
SPECTROGRAM = (1, 1, 32, 512)
NETWORKS = {
    "resnet": Network(
        partial(resnet.ResNet, resnet.Bottleneck, (3, 4, 6, 3), 5, channels=(4, 8, 16, 32)),
        dict(where=r"layer\d\.\d+\.conv2", kernel_size=7, kernel_count=5),
        axis_order="height_first",
    ),
    "convformer": Network(
        convformer, DEPTHWISE | BILINEAR | dict(kernel_count=40), metaformer.checkpoint_filter_fn
    ),
    "caformer": Network(caformer, DEPTHWISE | BILINEAR, metaformer.checkpoint_filter_fn),
    "fastvit": Network(fastvit_sa, DEPTHWISE_7X7 | BILINEAR, fastvit.checkpoint_filter_fn),
    "audio convformer": Network(
        partial(for_spectrograms, convformer, "stem.conv"),
        DEPTHWISE | GAUSSIAN,
        metaformer.checkpoint_filter_fn,
        SPECTROGRAM,
    ),
    "audio fastvit": Network(
        partial(for_spectrograms, fastvit_sa, "stem"), DEPTHWISE_7X7 | GAUSSIAN, image=SPECTROGRAM
    ),
}


def published(network: Network) -> nn.Module:
    """timm's network with the published layers where the published rule has them."""
    model, rule = network.build(), network.rule
    _, conversion = convert(copy.deepcopy(model), rule)
    version = VERSIONS[rule.get("interpolation", "bilinear")]
    first: dict[tuple[int, ...], nn.Module] = {}
    for row in conversion.replaced:
        conv, size = model.get_submodule(row.name), rule["kernel_size"]
        layer = PublishedDcls2d(
            conv.in_channels,
            conv.out_channels,
            kernel_count=rule["kernel_count"],
            stride=conv.stride,
            padding=size // 2,
            groups=conv.groups,
            bias=conv.bias is not None,
            dilated_kernel_size=size,
            version=version,
        )
        # By width, which in these networks is by stage.
        owner = first.setdefault(tuple(conv.weight.shape[:2]), layer)
        layer.P = owner.P
        if version == "gauss":
            layer.SIG = owner.SIG
        model.set_submodule(row.name, layer)
    return randomised(model, rule["kernel_size"] // 2)


def ours(network: Network) -> nn.Module:
    return convert(network.build(), dict(network.rule, start="random"))[0].eval()


def file_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """A state of timm's, by the names and in the shapes of the code that published the network."""
    state = model.state_dict()
    naming = naming_of(state)
    return {
        our_name(name, naming): value.flatten(1) if is_linear(naming.linear, value) else value
        for name, value in state.items()
    }


def is_linear(linear: str | None, value: torch.Tensor) -> bool:
    return linear is not None and value.shape[2:] == (1, 1)
