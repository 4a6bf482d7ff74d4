"""Classifiers: the published code keeps them in one piece, mmpretrain as a backbone and a head.

In both, the mean over the last map is normalised: by `norm` there, by the backbone's last output
norm here. Where a backbone normalises the map itself, the published norm is no part of it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from .layouts import Source, backbone_of, renamed

THEIR_NORM, THEIR_HEAD, OUR_HEAD = "norm.", "head.", "head.fc."


def last_norm(backbone: nn.Module) -> str | None:
    """How the name of the norm of the mean begins; None where there is none."""
    is_pooled = getattr(backbone, "gap_before_final_norm", False)
    return f"norm{max(backbone.out_indices)}." if is_pooled else None


def in_parts(found: Source, model: nn.Module) -> Source:
    """A classifier's weights by the names of a model with a backbone that is a classifier's.

    They stay as they are for other models, and so does the head where the model has no such head.
    """
    norm = last_norm(backbone_of(model))
    if norm is None or found.others:
        return found
    names = ((rf"^{re.escape(THEIR_NORM)}", norm),)
    backbone = {renamed(name, names): value for name, value in found.backbone.items()}
    if not any(name.startswith(OUR_HEAD) for name in model.state_dict()):
        return replace(found, backbone=backbone)
    head = {name for name in backbone if name.startswith(THEIR_HEAD)}
    others = {OUR_HEAD + name.removeprefix(THEIR_HEAD): backbone.pop(name) for name in head}
    return replace(found, backbone=backbone, others=others)


def in_one_piece(
    backbone: Mapping[str, Tensor], head: Mapping[str, Tensor], norm: str
) -> dict[str, Tensor]:
    """The reverse of `in_parts`.

    norm: how the name of the norm of the mean begins, see `last_norm`.
    """
    names = ((rf"^{re.escape(norm)}", THEIR_NORM),)
    one = {renamed(name, names): value for name, value in backbone.items()}
    return one | {THEIR_HEAD + name.removeprefix(OUR_HEAD): value for name, value in head.items()}
