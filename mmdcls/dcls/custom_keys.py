"""`custom_keys` of optimiser rules: what they may be, and sentences about them."""

from collections.abc import Mapping, Sequence

from .arguments import check_number


def check_multiplier(name: str, value: object) -> None:
    # Beyond, products of several overflow in float32.
    check_number(name, value, "at least 0 and at most 1e9", lambda value: 0 <= value <= 1e9)


def check_custom_keys(custom_keys: object, weight_decay: float | None) -> None:
    if not isinstance(custom_keys, Mapping):
        raise ValueError(
            f"custom_keys={custom_keys!r} must be a dict, from a part of a name to "
            f"dict(lr_mult=..., decay_mult=...)"
        )
    for key, custom in custom_keys.items():
        if not isinstance(key, str) or not key:
            raise ValueError(f"custom_keys has the key {key!r}, which is no part of a name")
        where = f"custom_keys[{key!r}]"
        if not isinstance(custom, dict) or not set(custom) <= {"lr_mult", "decay_mult"}:
            raise ValueError(f"{where}={custom!r} must be a dict of lr_mult, decay_mult or both")
        for name, value in custom.items():
            check_multiplier(f"{where}.{name}", value)
        if "decay_mult" in custom and weight_decay is None:
            raise ValueError(f"{where}.decay_mult needs a weight_decay in the optimizer")


def unused_sentence(where: str, keys: Sequence[str]) -> str:
    return (
        f"{where} changes nothing by {', '.join(keys)}: no parameter that learns has that in its "
        f"name."
    )
