"""What arguments of DclsConvNeXt may be. Every refusal is a ValueError, one sentence."""

from collections.abc import Sequence

from mmengine.registry import WEIGHT_INITIALIZERS

from mmdcls.dcls.arguments import is_whole, per_axis
from mmdcls.registry import check_type

# ConvNeXt's own sizes.
ARCHS = {
    "tiny": dict(depths=(3, 3, 9, 3), channels=(96, 192, 384, 768)),
    "small": dict(depths=(3, 3, 27, 3), channels=(96, 192, 384, 768)),
    "base": dict(depths=(3, 3, 27, 3), channels=(128, 256, 512, 1024)),
    "large": dict(depths=(3, 3, 27, 3), channels=(192, 384, 768, 1536)),
    "xlarge": dict(depths=(3, 3, 27, 3), channels=(256, 512, 1024, 2048)),
}
STAGES = 4


def sizes_of(
    arch: str | dict,
    depths: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Depths and channels of an arch; those that are given by themselves take their place."""
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(
                f"arch={arch!r} is unknown; choose one of {', '.join(ARCHS)}, or give "
                f"dict(depths=..., channels=...)"
            )
        arch = ARCHS[arch]
    if not isinstance(arch, dict) or set(arch) != {"depths", "channels"}:
        raise ValueError(f"arch={arch!r} must be a name or dict(depths=..., channels=...)")
    given = dict(depths=depths, channels=channels)
    depths, channels = (
        per_axis(f"arch.{name}", arch[name], STAGES, least=1)
        if value is None
        else per_axis(name, value, STAGES, least=1)
        for name, value in given.items()
    )
    return depths, channels


def checked_indices(out_indices: Sequence[int]) -> tuple[int, ...]:
    is_many = isinstance(out_indices, Sequence) and not isinstance(out_indices, str)
    indices = tuple(out_indices) if is_many else (out_indices,)
    fit = all(is_whole(index) and 0 <= index < STAGES for index in indices)
    if not indices or not fit or len(set(indices)) < len(indices):
        raise ValueError(
            f"out_indices={out_indices!r} must name one or more of the stages 0 to {STAGES - 1}, "
            f"each once"
        )
    return tuple(sorted(indices))


def check_init_cfg(init_cfg: object) -> None:
    if init_cfg is None:
        return
    for config in init_cfg if isinstance(init_cfg, list) else [init_cfg]:
        if not isinstance(config, dict):
            raise ValueError(f"init_cfg={init_cfg!r} must be None, or one or more dict(type=...)")
        check_type("init_cfg.type", config.get("type"), WEIGHT_INITIALIZERS)
