"""The weights of a dense ConvNeXt under the names of the code bases that have it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from helpers.published_convnext import PublishedBlock, PublishedConvNeXt


def tree(**children: nn.Module | Tensor | None) -> nn.Module:
    """A module with these modules and parameters inside; without what is None."""
    module = nn.Module()
    for name, child in children.items():
        if isinstance(child, Tensor):
            module.register_parameter(name, nn.Parameter(child.detach()))
        elif child is not None:
            module.add_module(name, child)
    return module


def sequence(modules: list[nn.Module]) -> nn.Module:
    return nn.Sequential(*modules)


def as_dinov3(model: PublishedConvNeXt) -> dict:
    """Its norm has a second name, and there is no head."""
    names = dict(norm=model.norm, norms=tree(**{"3": model.norm}))
    return tree(
        downsample_layers=model.downsample_layers, stages=model.stages, **names
    ).state_dict()


def as_eupe(model: PublishedConvNeXt) -> dict:
    return dict(model=as_dinov3(model) | {"projectors.other.0.weight": torch.ones(2, 3)})


def as_mmpretrain(model: PublishedConvNeXt) -> dict:
    def block(b: PublishedBlock) -> nn.Module:
        parts = dict(norm=b.norm, pointwise_conv1=b.pwconv1, pointwise_conv2=b.pwconv2)
        grn = b.grn and tree(gamma=b.grn.gamma.flatten(), beta=b.grn.beta.flatten())
        return tree(depthwise_conv=b.dwconv, **parts, grn=grn, gamma=b.gamma)

    stages = sequence([sequence([block(b) for b in stage]) for stage in model.stages])
    backbone = tree(downsample_layers=model.downsample_layers, stages=stages, norm3=model.norm)
    return dict(state_dict=tree(backbone=backbone, head=tree(fc=model.head)).state_dict(), meta={})


def as_timm(model: PublishedConvNeXt) -> dict:
    def block(b: PublishedBlock) -> nn.Module:
        grn = b.grn and tree(weight=b.grn.gamma.flatten(), bias=b.grn.beta.flatten())
        mlp = tree(fc1=b.pwconv1, grn=grn, fc2=b.pwconv2)
        return tree(conv_dw=b.dwconv, norm=b.norm, mlp=mlp, gamma=b.gamma)

    stem, *others = model.downsample_layers
    stages = [
        tree(downsample=down, blocks=sequence([block(b) for b in stage]))
        for down, stage in zip([nn.Identity(), *others], model.stages, strict=True)
    ]
    head = tree(norm=model.norm, fc=model.head)
    return tree(stem=stem, stages=sequence(stages), head=head).state_dict()


def as_timm_hnf(model: PublishedConvNeXt) -> dict:
    """With 1x1 convolutions in place of linear layers, and the last norm before the pooling."""
    return {
        name.replace("head.norm", "norm_pre"): value[..., None, None]
        if ".mlp.fc" in name and name.endswith("weight")
        else value
        for name, value in as_timm(model).items()
    }


def as_timm_features(model: PublishedConvNeXt) -> dict:
    """Of features_only: the first level is flat, and there is no head."""
    return {
        name.replace("stem.", "stem_").replace("stages.", "stages_"): value
        for name, value in as_timm(model).items()
        if not name.startswith("head.")
    }


def as_timm_backbone(model: PublishedConvNeXt) -> dict:
    """A segmentor's checkpoint with the TIMMBackbone of mmseg."""
    features = as_timm_features(model)
    state = {f"backbone.timm_model.{name}": value for name, value in features.items()}
    return dict(state_dict=state | {"decode_head.conv_seg.bias": torch.ones(2)}, meta={})


def as_torchvision(model: PublishedConvNeXt) -> dict:
    def block(b: PublishedBlock) -> nn.Module:
        quiet = nn.Identity()
        parts = [b.dwconv, quiet, b.norm, b.pwconv1, quiet, b.pwconv2, quiet]
        return tree(block=sequence(parts), layer_scale=b.gamma[:, None, None])

    features = []
    for down, stage in zip(model.downsample_layers, model.stages, strict=True):
        features += [down, sequence([block(b) for b in stage])]
    classifier = sequence([model.norm, nn.Flatten(), model.head])
    return tree(features=sequence(features), classifier=classifier).state_dict()


def as_hugging_face(model: PublishedConvNeXt) -> dict:
    """A ConvNextModel, or a ConvNextV2Model."""

    def block(b: PublishedBlock) -> nn.Module:
        grn = b.grn and tree(weight=b.grn.gamma, bias=b.grn.beta)
        parts = dict(dwconv=b.dwconv, layernorm=b.norm, pwconv1=b.pwconv1, pwconv2=b.pwconv2)
        return tree(**parts, grn=grn, layer_scale_parameter=b.gamma)

    stem, *others = model.downsample_layers
    stages = [
        tree(downsampling_layer=down, layers=sequence([block(b) for b in stage]))
        for down, stage in zip([None, *others], model.stages, strict=True)
    ]
    embeddings = tree(patch_embeddings=stem[0], layernorm=stem[1])
    encoder = tree(stages=sequence(stages))
    return tree(embeddings=embeddings, encoder=encoder, layernorm=model.norm).state_dict()


def as_hugging_face_backbone(model: PublishedConvNeXt) -> dict:
    """A ConvNextBackbone of the last stage, or a ConvNextV2Backbone."""
    return {
        name.replace("layernorm.", "hidden_states_norms.stage4.")
        if name.startswith("layernorm.")
        else name: value
        for name, value in as_hugging_face(model).items()
    }


def as_hugging_face_classifier(model: PublishedConvNeXt) -> dict:
    """A ConvNextForImageClassification, or a ConvNextV2ForImageClassification."""
    prefix = "convnext" if model.stages[0][0].grn is None else "convnextv2"
    state = {f"{prefix}.{name}": value for name, value in as_hugging_face(model).items()}
    return state | tree(classifier=model.head).state_dict()


def as_hugging_face_dinov3(model: PublishedConvNeXt) -> dict:
    """A DINOv3ConvNextModel, as transformers 4 keeps it."""

    def block(b: PublishedBlock) -> nn.Module:
        parts = dict(pointwise_conv1=b.pwconv1, pointwise_conv2=b.pwconv2, gamma=b.gamma)
        return tree(depthwise_conv=b.dwconv, layer_norm=b.norm, **parts)

    stages = [
        tree(downsample_layers=down, layers=sequence([block(b) for b in stage]))
        for down, stage in zip(model.downsample_layers, model.stages, strict=True)
    ]
    return tree(stages=sequence(stages), layer_norm=model.norm).state_dict()


def as_hugging_face_dinov3_encoder(model: PublishedConvNeXt) -> dict:
    """A DINOv3ConvNextModel, as transformers 5 has it in memory."""
    return {
        name if name.startswith("layer_norm.") else f"model.{name}": value
        for name, value in as_hugging_face_dinov3(model).items()
    }


# What comes before a comma is the layout's name.
CODE_BASES: dict[str, Callable[[PublishedConvNeXt], dict]] = {
    "original": lambda model: dict(model=model.state_dict()),
    "original, DINOv3": as_dinov3,
    "original, EUPE": as_eupe,
    "mmpretrain": as_mmpretrain,
    "timm": as_timm,
    "timm, hnf": as_timm_hnf,
    "timm, features_only": as_timm_features,
    "timm, TIMMBackbone": as_timm_backbone,
    "torchvision": as_torchvision,
    "Hugging Face": as_hugging_face,
    "Hugging Face, backbone": as_hugging_face_backbone,
    "Hugging Face, classifier": as_hugging_face_classifier,
    "Hugging Face DINOv3": as_hugging_face_dinov3,
    "Hugging Face DINOv3, encoder": as_hugging_face_dinov3_encoder,
}
# They name the last norm as an output norm, which then is loaded.
WITH_OUTPUT_NORM = ("mmpretrain", "Hugging Face, backbone")
WITH_V2 = (
    "original",
    "mmpretrain",
    "timm",
    "timm, features_only",
    "Hugging Face",
    "Hugging Face, backbone",
    "Hugging Face, classifier",
)
