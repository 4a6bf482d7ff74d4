from torch import nn

from mmdcls.dcls import ElementPositions, position_owners
from mmdcls.errors import InputError
from mmdcls.wrapping import unwrapped


def owners_for(piece: str, model: nn.Module) -> dict[str, ElementPositions]:
    """Every module of the model that owns positions, by name.

    piece: the name in the config of what works on positions. Raises InputError where there are
        none.
    """
    model = unwrapped(model)
    owners = position_owners(model)
    if not owners:
        raise InputError(
            f"{piece} needs a model with DCLS positions, and {type(model).__name__} has none; take "
            f"it out of custom_hooks, or use a backbone such as type='mmdcls.DclsConvNeXt'."
        )
    return owners
