from mmengine.logging import print_log
from mmengine.model.weight_init import update_init_info
from torch import nn

from mmdcls.dcls.arguments import check_text
from mmdcls.dcls.interpolation import get_interpolation
from mmdcls.errors import InputError
from mmdcls.registry import WEIGHT_INITIALIZERS

from .files import read_checkpoint
from .load import Reading, load_into

NAME = "mmdcls.Pretrained"


@WEIGHT_INITIALIZERS.register_module()
class Pretrained:
    """`init_cfg=dict(type="mmdcls.Pretrained", checkpoint=...)`: weights in any known layout.

    Where mmengine's own "Pretrained" takes what has the model's names and leaves the rest as it
    is, this one knows the layouts (docs/weights.md), turns dense kernels into elements, and raises
    InputError where anything but a head does not fit. What it did is one line of the log.

    checkpoint: a file, or a URL of http or https.
    sha256: what the file's checksum must be.
    key, interpolation, axis_order: what the file cannot say, see `mmdcls.checkpoint.load.Reading`.
    """

    def __init__(
        self,
        checkpoint: str,
        sha256: str | None = None,
        key: str | None = None,
        interpolation: str | None = None,
        axis_order: str | None = None,
    ) -> None:
        check_text("checkpoint", checkpoint, "a file, or a URL of http or https")
        for name, text in dict(sha256=sha256, key=key, axis_order=axis_order).items():
            if text is not None:
                check_text(name, text, "or None")
        if interpolation is not None:
            get_interpolation(interpolation)
        self.checkpoint, self.sha256 = checkpoint, sha256
        self.reading = Reading(key, interpolation, axis_order)

    def __call__(self, module: nn.Module) -> None:
        configs = getattr(module, "init_cfg", None)
        if isinstance(configs, list) and configs[-1].get("type") not in (NAME, Pretrained):
            raise InputError(
                f"{NAME} comes before {configs[-1].get('type')} in init_cfg, which would overwrite "
                f"it: put {NAME} last."
            )
        # mmengine knows that its own "Pretrained" comes after the initialisation of what is inside
        # a module, and initialises inside only what has not been. A ConvModule does not remember.
        for child in module.children():
            if hasattr(child, "init_weights") and not getattr(child, "is_init", False):
                child.init_weights()
                child.is_init = True
        try:
            content = read_checkpoint(self.checkpoint, self.sha256)
        except InputError as error:
            raise InputError(f"{error} {other_starts(module)}") from error
        report = load_into(module, content, self.checkpoint, self.reading)
        print_log(str(report), logger="current")
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=f"{NAME}: load from {self.checkpoint}")


def other_starts(module: nn.Module) -> str:
    """How to start from something else, for the end of a sentence."""
    # A module does not know what a config calls it, but only whole models have a backbone.
    where = "model.init_cfg" if hasattr(module, "backbone") else "model.backbone.init_cfg"
    return (
        f"To start from another file, offline as well, give --cfg-options {where}.checkpoint=FILE; "
        f"from random weights, {where}=None."
    )
