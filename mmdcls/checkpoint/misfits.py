"""Names and shapes of tensors that a checkpoint and a model do not agree on."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmdcls.errors import InputError

NAMED = 3


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


def check_finite(source: str, weights: Mapping[str, Tensor]) -> None:
    """Raise InputError for weights that are NaN or infinite."""
    spoilt = [
        name
        for name, value in weights.items()
        if value.is_floating_point() and not value.isfinite().all()
    ]
    if spoilt:
        raise InputError(
            f"{source} has {len(spoilt)} tensors with NaN or infinity ({some_of(spoilt)}): take an "
            f"earlier checkpoint."
        )


def some_of(texts: Sequence[str]) -> str:
    rest = len(texts) - NAMED
    return ", ".join(texts[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
