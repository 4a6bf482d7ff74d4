"""A checkpoint in any known layout -> the weights of a model, all of them or an error."""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mmdcls.dcls.dense_loading import as_loaded, takes_dense
from mmdcls.errors import InputError

from .classifiers import in_parts
from .elements import adapt, by_layer, interpolation_of, moved_positions, replaced_spreads
from .fitting import check_values, is_stranger, misfits_of, some_of
from .layouts import (
    BACKBONE,
    OURS,
    PLAIN,
    Source,
    backbone_of,
    key_of,
    layout_of,
    naming_of,
    our_name,
    recognise,
    tensors_in,
    weights_in,
)
from .published import axis_order_of, check_interpolation, from_published, is_published
from .report import Report

logger = logging.getLogger(__name__)
# Of a backbone: its output norms, which a classifier lacks; and a classifier's own head.
OUTPUT_NORMS = re.compile(r"^norm\d\.")
CLASSIFIER = re.compile(
    r"^(norm[0-3]?|norms\.3|norm_pre|layer_?norm|head|fc|classifier|projectors|conv_exp)\."
)
# Of networks of four stages; FastViT counts what stands between them as well.
LEVEL = re.compile(
    r"^(?:(?:stages|downsample_layers)\.(?=[0-3])|network\.(?=[0-7])|layer(?=[1-4]))(\d)\."
)
# Of a whole model: what serves training only, and the count that mmengine's average keeps.
TRAINING = re.compile(r"^(auxiliary_head\.|steps$)")


@dataclass(frozen=True)
class Reading:
    """What a file cannot say of itself.

    key: its entry that holds the weights, see `layouts.TOP_KEYS`.
    interpolation: what it was trained with; compared with the model's.
    axis_order: "height_first" or "width_first", see `published.axis_order_of`.
    """

    key: str | None = None
    interpolation: str | None = None
    axis_order: str | None = None


def load_into(
    module: nn.Module, checkpoint: Mapping, source: str, reading: Reading | None = None
) -> Report:
    """Fill a backbone, or a whole model, from a checkpoint.

    Raises InputError where tensors are missing or differ in shape, other than a head's.
    """
    weights, report = weights_for(module, checkpoint, source, reading)
    module.load_state_dict(weights, strict=False)
    return report


def weights_for(
    module: nn.Module, checkpoint: Mapping, source: str, reading: Reading | None = None
) -> tuple[dict[str, Tensor], Report]:
    """The checkpoint's weights by the names of the model's state, and what became of them."""
    reading = reading or Reading()
    try:
        found = in_parts(recognise(weights_in(checkpoint, reading.key)), module)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    check_values(source, {**found.backbone, **found.others})
    wanted = module.state_dict()
    is_whole = any(name.startswith(BACKBONE) for name in wanted)
    backbone = backbone_of(module)
    try:
        given = in_names_of(backbone, in_our_axes(found, backbone, reading))
        weights, errors = adapt(given, backbone)
    except InputError as error:
        raise InputError(f"{source} ({found.layout.name}): {error}") from error
    if is_whole:
        weights = {f"{BACKBONE}{name}": value for name, value in weights.items()}
    weights |= found.others
    weights = {name: in_shape(value, wanted.get(name)) for name, value in weights.items()}
    # A file of a backbone leaves the heads of a whole model as they are.
    has_heads = is_whole and any(name in wanted for name in found.others)
    misfits, left = split_missing(as_loaded(module, weights), wanted, is_whole, has_heads)
    unused = [name for name in weights if name not in wanted]
    built = own_names(backbone)
    strange = [
        name
        for name in unused
        if not is_spare(name.removeprefix(BACKBONE), built)
        and not (name in found.others and not has_heads)
        and not found.naming.is_loose
    ]
    if misfits or strange:
        raise refusal(source, found, [*misfits.values(), *(f"{n} has no place" for n in strange)])
    loaded = {name: value for name, value in weights.items() if name in wanted}
    key = reading.key or key_of(checkpoint)
    layout = f"{found.layout.name}, {key}" if key else found.layout.name
    elements = moved_positions(given, backbone), replaced_spreads(given, backbone)
    tensors = len(loaded), tuple(left), tuple(unused)
    return loaded, Report(source, layout, *tensors, errors, *elements)


def by_names_of(
    module: nn.Module, weights: Mapping[str, Tensor], reading: Reading | None = None
) -> dict[str, Tensor]:
    """Weights in any known layout by the names of a model's state, with what does not fit there.

    Of a network whose authors pass over what its files have too much, that is logged and left out.
    """
    wanted = module.state_dict()
    found = recognise(weights)
    given = in_our_axes(found, module, reading or Reading())
    taken, _ = adapt(in_names_of(module, given), module)
    unused = [name for name in taken if name not in wanted]
    if unused and found.naming.is_loose:
        logger.warning("%s: unused are %s", found.layout.name, ", ".join(unused))
        taken = {name: value for name, value in taken.items() if name in wanted}
    return {name: in_shape(value, wanted.get(name)) for name, value in taken.items()}


def refusal(source: str, found: Source, misfits: list[str]) -> InputError:
    advice = (
        "use it with the config it was trained with, or its backbone alone, by the backbone's "
        "init_cfg"
    )
    if any(".grn." in name for name in found.backbone):
        advice = "it is of a ConvNeXt V2, which has use_grn=True and layer_scale_init_value=0"
    return InputError(
        f"{source}, read as {found.layout.name}, does not fit the model in {len(misfits)} tensors "
        f"({some_of(misfits)}); the file has {some_of(list(found.backbone))}; {advice}."
    )


def is_foreign(module: nn.Module, checkpoint: Mapping) -> bool:
    """Whether a checkpoint for a DCLS model is in a layout that only `load_into` reads."""
    weights = tensors_in(checkpoint)
    is_known = recognise(weights).layout not in (OURS, PLAIN)
    has_elements = interpolation_of(module) is not None
    return is_known and has_elements and not takes_as_it_is(module, weights)


def takes_as_it_is(module: nn.Module, weights: Mapping[str, Tensor]) -> bool:
    """Whether the weights have the names of a converted network, whose loading knows dense ones."""
    if not any(map(takes_dense, module.modules())):
        return False
    given, wanted = as_loaded(module, weights), module.state_dict()
    shared = given.keys() & wanted.keys()
    fit = all(given[name].shape == wanted[name].shape for name in shared)
    return fit and not is_stranger(given, wanted)


def refuse_foreign(module: nn.Module, state: Mapping[str, Tensor], prefix: str, *others) -> None:
    """Hook of `load_state_dict`, which would take what has our names and leave the rest random.

    Raises InputError for weights in a layout that is known and not ours.
    """
    given = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    wanted = module.state_dict()
    fits = all(
        name in wanted and value.shape == wanted[name].shape for name, value in given.items()
    )
    layout = layout_of(given)
    if not fits and layout not in (OURS, PLAIN):
        raise InputError(
            f"The weights for {type(module).__name__} are those of a {layout.name}: turn the file "
            f"into one of ours with `mmdcls convert`, or load it with "
            f"init_cfg=dict(type='mmdcls.Pretrained', checkpoint=...)."
        )


def in_our_axes(found: Source, backbone: nn.Module, reading: Reading) -> dict[str, Tensor]:
    """The backbone's weights by our names, with row a of positions for kernel axis a."""
    interpolation = interpolation_of(backbone)
    if reading.interpolation not in (None, interpolation):
        raise InputError(
            f"it was trained with interpolation={reading.interpolation!r}, and the model has "
            f"{interpolation!r}: give the model the same."
        )
    if not is_published(found.backbone) or interpolation is None:
        return found.backbone
    check_interpolation(found.backbone, interpolation)
    order = axis_order_of(found.backbone, interpolation, found.is_convnext, reading.axis_order)
    return from_published(found.backbone, order)


def own_names(backbone: nn.Module) -> dict[str, str]:
    """The names of a model's state, by those that weights are compared by."""
    names = list(backbone.state_dict())
    naming = naming_of(names)
    return {our_name(name, naming): name for name in names}


def in_names_of(backbone: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of a model; those that it has no place for keep theirs."""
    names = own_names(backbone)
    result = {}
    for name, value in by_layer(weights).items():
        owner, _, kind = name.rpartition(".")
        # Positions that a layer borrows are not in the model's state, but its weight is.
        layer = names.get(f"{owner}.weight", "").rpartition(".")[0]
        result[names.get(name) or (f"{layer}.{kind}" if layer else name)] = value
    return result


def in_shape(value: Tensor, wanted: Tensor | None) -> Tensor:
    """A linear layer's weight that was stored as a 1x1 convolution's, a vector as (1, 1, 1, C).

    Or the reverse.
    """
    if wanted is None:
        return value
    shorter, longer = sorted((value.shape, wanted.shape), key=len)
    ones = (1,) * (len(longer) - len(shorter))
    fits = longer in ((*shorter, *ones), (*ones, *shorter))
    return value.reshape(wanted.shape) if fits else value


def split_missing(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], is_whole: bool, has_heads: bool
) -> tuple[dict[str, str], list[str]]:
    """Tensors of the model that the file does not fill: those it must, and those it need not."""
    misfits, left = {}, []
    for name, text in misfits_of(weights, wanted).items():
        of_backbone = name.startswith(BACKBONE) or not is_whole
        optional = not has_heads and (
            OUTPUT_NORMS.search(name.removeprefix(BACKBONE)) or not of_backbone
        )
        if name not in weights and optional:
            left.append(name)
        else:
            misfits[name] = text
    return misfits, left


def is_of_classifier_or_training(name: str) -> bool:
    return bool(CLASSIFIER.search(name.removeprefix(BACKBONE)) or TRAINING.search(name))


def is_spare(name: str, built: Iterable[str]) -> bool:
    """Whether a tensor that the model lacks belongs to a head, or to a stage that is not built.

    built: what the model has, by the names that weights are compared by.
    """
    if is_of_classifier_or_training(name):
        return True
    level = LEVEL.search(name)
    levels = [int(match[1]) for match in map(LEVEL.search, built) if match]
    return bool(level and levels) and int(level[1]) > max(levels)
