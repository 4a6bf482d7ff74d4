"""DCLS networks for timm: after `import mmdcls.timm`, `timm.create_model("dcls_convnext_tiny")`.

They are timm's own classes with DCLS layers in place of their large depthwise kernels, as
published, and so serve wherever timm's networks do, with features_only=True as well.

pretrained=True takes weights from pretrained_cfg_overlay=dict(file=FILE): a file in any layout of
docs/weights.md, by names of timm or of the published code.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from mmdcls.checkpoint.load import by_names_of
from mmdcls.checkpoint.published import is_published
from mmdcls.dcls import Rule, convert

try:
    import timm
except ImportError as error:
    raise ImportError(
        "mmdcls.timm adds networks to timm, which is not installed: pip install timm"
    ) from error
from timm.models import (
    build_model_with_cfg,
    get_pretrained_cfg,
    register_model,
    resolve_pretrained_cfg,
)

CONVNEXT = dict(where=r".*\.conv_dw", kernel_size=17, interpolation="bilinear")
GAUSSIAN = dict(where=r".*\.conv_dw", kernel_size=23, interpolation="gaussian")
METAFORMER = dict(
    where=r".*\.token_mixer\.dwconv", kernel_size=17, interpolation="bilinear_normalized"
)
FASTVIT = dict(
    where=".*",
    where_depthwise=True,
    where_kernel_size=7,
    kernel_size=17,
    interpolation="bilinear_normalized",
)
# Our name: timm's, and the published rule.
NETWORKS = {
    "dcls_convnext_tiny": ("convnext_tiny.fb_in1k", Rule(**CONVNEXT, kernel_count=34)),
    "dcls_convnext_small": ("convnext_small.fb_in1k", Rule(**CONVNEXT, kernel_count=40)),
    "dcls_convnext_base": ("convnext_base.fb_in1k", Rule(**CONVNEXT, kernel_count=40)),
    "dcls_convnext_tiny_gaussian": ("convnext_tiny.fb_in1k", Rule(**GAUSSIAN, kernel_count=26)),
    "dcls_convformer_s18": ("convformer_s18.sail_in1k", Rule(**METAFORMER, kernel_count=40)),
    "dcls_caformer_s18": ("caformer_s18.sail_in1k", Rule(**METAFORMER, kernel_count=34)),
    "dcls_fastvit_sa24": ("fastvit_sa24.apple_in1k", Rule(**FASTVIT, kernel_count=34)),
    "dcls_fastvit_sa36": ("fastvit_sa36.apple_in1k", Rule(**FASTVIT, kernel_count=34)),
}
# Of what timm knows of a network, that which does not belong to weights of its own.
KEPT = (
    "num_classes",
    "input_size",
    "pool_size",
    "crop_pct",
    "interpolation",
    "mean",
    "std",
    "classifier",
    "first_conv",
)
__all__ = []
default_cfgs = {}


def build(name: str, pretrained: bool, **options) -> nn.Module:
    """One of `NETWORKS`; options are those of `timm.create_model`.

    Raises ValueError for pretrained=True without a source of weights, or with a file that is not
    there.
    """
    source = [options.get(key) for key in ("pretrained_cfg", "pretrained_cfg_overlay")]
    cfg = resolve_pretrained_cfg(name, *source)
    if pretrained and not (cfg.has_weights or cfg.state_dict):
        raise ValueError(
            f"{name} brings no weights: give pretrained_cfg_overlay=dict(file=FILE), such as one "
            f"of the published files of docs/weights.md, or pretrained=False"
        )
    if pretrained and cfg.file and not Path(cfg.file).is_file():
        raise ValueError(
            f"{name} finds no file {cfg.file}, which pretrained_cfg_overlay names: give the path "
            f"of one that is there, such as one of docs/weights.md, or pretrained=False"
        )
    network, rule = NETWORKS[name]

    # Before timm loads weights and takes features out.
    def converted(**arguments) -> nn.Module:
        model, _ = convert(timm.create_model(network, **arguments), rule)
        model.register_load_state_dict_pre_hook(take_published)
        return model

    return build_model_with_cfg(
        converted,
        name,
        pretrained,
        pretrained_filter_fn=in_our_names,
        feature_cfg=dict(out_indices=(0, 1, 2, 3), flatten_sequential=True),
        **options,
    )


def in_our_names(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    return by_names_of(model, state)


def take_published(model: nn.Module, state: dict, prefix: str, *others) -> None:
    """Hook of `load_state_dict`, by which checkpoint_path=FILE takes a published file as well."""
    if not prefix and is_published(state):
        given = dict(state)
        state.clear()
        state.update(by_names_of(model, given))


def entrypoint_of(name: str):
    network, rule = NETWORKS[name]

    def entrypoint(pretrained: bool = False, **options) -> nn.Module:
        return build(name, pretrained, **options)

    entrypoint.__name__ = entrypoint.__qualname__ = name
    entrypoint.__doc__ = (
        f"timm's {network.partition('.')[0]} with DCLS kernels of {rule.kernel_size}x"
        f"{rule.kernel_size} and {rule.kernel_count} elements, {rule.interpolation}."
    )
    return entrypoint


for name, (network, _) in NETWORKS.items():
    known = get_pretrained_cfg(network)
    default_cfgs[name] = {key: getattr(known, key) for key in KEPT}
    globals()[name] = register_model(entrypoint_of(name))
