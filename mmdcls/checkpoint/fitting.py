"""Whether the tensors of a checkpoint are those of a model, which mmengine loads where they are."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmdcls.errors import InputError

NAMED = 3
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def misfits_of(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """What is wrong with each tensor of the model that the checkpoint does not fill."""
    found = {}
    for name, tensor in wanted.items():
        if name not in given:
            found[name] = f"{name} is not there"
        elif given[name].shape != tensor.shape:
            shapes = tuple(given[name].shape), tuple(tensor.shape)
            found[name] = f"{name} is {shapes[0]} there and {shapes[1]} in the model"
    return found


def check_values(source: str, weights: Mapping[str, Tensor]) -> None:
    """Raise InputError for weights that no model can take, or that are NaN or infinite."""
    strange = [name for name, value in weights.items() if not is_usual(value)]
    if strange:
        raise InputError(
            f"{source} has {len(strange)} tensors that are sparse, quantised, complex, of 8-bit "
            f"floats or without values ({some_of(strange)}): save them as plain tensors of float32."
        )
    spoilt = [name for name, value in weights.items() if not value.isfinite().all()]
    if spoilt:
        raise InputError(
            f"{source} has {len(spoilt)} tensors with NaN or infinity ({some_of(spoilt)}): take an "
            f"earlier checkpoint."
        )


def is_usual(value: Tensor) -> bool:
    is_plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
    is_known = not value.is_floating_point() or value.dtype in FLOATS
    return is_plain and is_known and not value.is_complex()


def some_of(texts: Sequence[str]) -> str:
    rest = len(texts) - NAMED
    return ", ".join(texts[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def weights_of(checkpoint: Mapping) -> dict[str, Tensor]:
    weights = checkpoint.get("state_dict", checkpoint)
    return {name.removeprefix("module."): value for name, value in weights.items()}


def refusal(
    source: str, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], advice: str
) -> InputError:
    misfits = misfits_of(given, wanted)
    return InputError(
        f"{source} is of another model: {len(misfits)} of {len(wanted)} tensors do not fit "
        f"({some_of(list(misfits.values()))}); the file has {some_of(list(given))}; {advice}."
    )


def is_stranger(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    """Whether less than half of the backbone, or of a model without one, is in the checkpoint."""
    backbone = {name: value for name, value in wanted.items() if name.startswith("backbone.")}
    part = backbone or wanted
    return 2 * len(misfits_of(given, part)) > len(part)
