"""Any network that a config can name, with DCLS layers where a rule says."""

from collections.abc import Mapping, Sequence

from mmengine.logging import print_log
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import nn

from mmdcls.dcls import convert
from mmdcls.dcls.arguments import check_text
from mmdcls.registry import MODELS


@MODELS.register_module(name="Converted")
def converted(network: str, dcls: Mapping | Sequence[Mapping], **options) -> nn.Module:
    """`type="mmdcls.Converted"`: a network whose convolutions become DCLS layers.

    network: what would stand as `type`; it gets all other options.
    dcls: arguments of `mmdcls.dcls.Rule`, or a list of them. Where they say nothing else, layers
        start at random, as published, for what a network has before its weights are loaded is
        random as well; `start="dense"` is for networks that load theirs while they are built, such
        as timm's with pretrained=True.

    The network keeps its class and its names, so it is trained, loaded and tested as it would be.
    Weights of the network as it was, by init_cfg, load_from or resume, become elements when loaded.
    """
    check_text("network", network, "the type of a network")
    model = MMENGINE_MODELS.build(dict(type=network, **options))
    rules = [dcls] if isinstance(dcls, Mapping) else dcls
    model, conversion = convert(model, [dict(start="random") | dict(rule) for rule in rules])
    print_log(f"{network}: {conversion}", logger="current")
    return model
