"""Where configs find our parts: `type="mmdcls.X"` imports this module, and it imports the rest."""

from collections.abc import Callable
from typing import Any

from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry


def ours(name: str, parent: Registry, *locations: str) -> Registry:
    """A registry below mmengine's; the modules at the locations register what it holds."""
    return Registry(name, parent=parent, scope="mmdcls", locations=list(locations))


MODELS = ours("model", MMENGINE_MODELS, "mmdcls.models")
HOOKS = ours("hook", MMENGINE_HOOKS, "mmdcls.engine", "mmdcls.running.hooks")
OPTIM_WRAPPER_CONSTRUCTORS = ours(
    "optim wrapper constructor", MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, "mmdcls.engine"
)
OPTIM_WRAPPERS = ours("optim wrapper", MMENGINE_OPTIM_WRAPPERS, "mmdcls.running.mixed_precision")
STRATEGIES = ours("strategy", MMENGINE_STRATEGIES, "mmdcls.running.fsdp")
WEIGHT_INITIALIZERS = ours(
    "weight initializer", MMENGINE_WEIGHT_INITIALIZERS, "mmdcls.checkpoint.pretrained"
)
REGISTRIES = (
    MODELS,
    HOOKS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    STRATEGIES,
    WEIGHT_INITIALIZERS,
)


def registered() -> dict[str, Registry]:
    """Every name that configs can give as `mmdcls.X`, and the registry that it is in."""
    for registry in REGISTRIES:
        registry.import_from_location()
    return {name: registry for registry in REGISTRIES for name in registry.module_dict}


def bare_name(kind: str | Callable) -> str:
    """The last part of a `type` in a config: a name, with its scope or not, a path, or a class."""
    return (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]


def find(registry: Registry, kind: object) -> Any:
    """The class or function of a `type`, looked up in the default scope first, as to build it.

    None where there is none.
    """
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(None) as scoped:
        return scoped.get(kind)


def check_type(name: str, value: object, registry: Registry) -> None:
    """Raises ValueError for a type that `registry.build` would end with a KeyError."""
    if not value or not isinstance(value, (str, type)) or find(registry, value) is None:
        raise ValueError(
            f"{name}={value!r} must be a class, or the name of one in the registry "
            f"{registry.name!r} of mmengine or the config's own package"
        )
