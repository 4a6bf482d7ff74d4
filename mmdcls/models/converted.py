"""Any network that a config can name, with DCLS layers where a rule says."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.util import find_spec

from mmengine.logging import print_log
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import Tensor, nn

from mmdcls.dcls import Rule, convert
from mmdcls.errors import InputError
from mmdcls.registry import MODELS, bare_name, check_type


class IntoRun(logging.Handler):
    """What is said of layers, such as how close elements came to dense kernels, in a run's log."""

    def emit(self, record: logging.LogRecord) -> None:
        print_log(record.getMessage(), logger="current", level=record.levelno)


LAYERS = logging.getLogger("mmdcls.dcls")
LAYERS.setLevel(logging.INFO)
LAYERS.addHandler(IntoRun())


@MODELS.register_module(name="Converted")
def converted(network: str, dcls: Mapping | Sequence[Mapping], **options) -> nn.Module:
    """`type="mmdcls.Converted"`: a network whose convolutions become DCLS layers.

    network: what would stand as `type`; it gets all other options.
    dcls: arguments of `mmdcls.dcls.Rule`, or a list of such dicts, the first of which that names a
        convolution decides on it. Where they say nothing else, layers start at random, as
        published, for what a network has before its weights are loaded is random as well;
        `start="dense"` is for networks that load theirs while they are built, such as timm's with
        pretrained=True.

    The network keeps its class and its names, so it is trained, loaded and tested as it would be.
    Weights of the network as it was, by init_cfg, load_from or resume, become elements when loaded.

    Raises ValueError for a network that there is not, and for rules that do not fit it.
    """
    check_type("network", network, MMENGINE_MODELS)
    rules = rules_of(dcls)
    model, conversion = convert(built(network, options), rules)
    print_log(f"{bare_name(network)}: {conversion}", logger="current")
    for part in (model, getattr(model, "backbone", None)):
        if isinstance(part, nn.Module):
            part.register_forward_hook(contiguous_maps)
    return model


def built(network: str, options: dict) -> nn.Module:
    is_of_timm = bare_name(network) == "TIMMBackbone"
    if is_of_timm and find_spec("timm") is None:
        raise InputError(
            "mmdcls.Converted of a TIMMBackbone needs timm, which is not installed: "
            'pip install -c constraints.txt -e ".[timm]".'
        )
    try:
        return MMENGINE_MODELS.build(dict(type=network, **options))
    except OSError as error:
        if not is_of_timm:
            raise
        raise InputError(
            f"timm could not load the weights of {options.get('model_name')} ({error}): without a "
            f"network give pretrained=False at the same place of the config, such as "
            f"--cfg-options model.backbone.pretrained=False."
        ) from error


def contiguous_maps(module: nn.Module, inputs: tuple, output: object) -> object:
    """Hook of a network's forward: its maps in the order of cells in which others expect them.

    Depthwise DCLS layers may leave them in channels_last, which mmcv's roi_align on CPUs reads as
    if it were not.
    """
    if isinstance(output, Tensor):
        return output.contiguous()
    if type(output) in (list, tuple):
        return type(output)(contiguous_maps(module, inputs, value) for value in output)
    return output


def rules_of(dcls: Mapping | Sequence[Mapping]) -> list[Rule]:
    given = [dcls] if isinstance(dcls, Mapping) else dcls
    are_many = isinstance(given, (list, tuple))
    if not are_many or not given or not all(isinstance(rule, Mapping) for rule in given):
        raise ValueError(
            f"dcls={dcls!r} must be dict(where=..., kernel_size=..., ...), or a list of such dicts"
        )
    known = [field.name for field in fields(Rule)]
    for rule in given:
        if "where" not in rule:
            raise ValueError(f"dcls={rule!r} needs where, which says for which convolutions it is")
        if unknown := [name for name in rule if name not in known]:
            raise ValueError(
                f"dcls has the unknown option {unknown[0]!r}; its options are {', '.join(known)}"
            )
    return [Rule(**(dict(start="random") | dict(rule))) for rule in given]
