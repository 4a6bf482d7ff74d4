"""Where configs find our parts: `type="mmdcls.X"` imports this module, and it imports the rest."""

from collections.abc import Callable

from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

MODELS = Registry("model", parent=MMENGINE_MODELS, scope="mmdcls", locations=["mmdcls.models"])
HOOKS = Registry("hook", parent=MMENGINE_HOOKS, scope="mmdcls", locations=["mmdcls.engine"])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optim wrapper constructor",
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope="mmdcls",
    locations=["mmdcls.engine"],
)
OPTIM_WRAPPERS = Registry(
    "optim wrapper", parent=MMENGINE_OPTIM_WRAPPERS, scope="mmdcls", locations=["mmdcls.engine"]
)
STRATEGIES = Registry(
    "strategy", parent=MMENGINE_STRATEGIES, scope="mmdcls", locations=["mmdcls.engine"]
)
WEIGHT_INITIALIZERS = Registry(
    "weight initializer",
    parent=MMENGINE_WEIGHT_INITIALIZERS,
    scope="mmdcls",
    locations=["mmdcls.engine"],
)


def bare_name(kind: str | Callable) -> str:
    """The last part of a `type` in a config: a name, with its scope or not, a path, or a class."""
    return (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]


def check_type(name: str, value: object, registry: Registry) -> None:
    """Raises ValueError for a type that `registry.build` would end with a KeyError."""
    if isinstance(value, type):
        return
    # As in build: names are looked up in the default scope first.
    with registry.switch_scope_and_registry(None) as scoped:
        if not isinstance(value, str) or scoped.get(value) is None:
            raise ValueError(
                f"{name}={value!r} must be a class, or the name of one in the registry "
                f"{registry.name!r} of mmengine or the config's own package"
            )
