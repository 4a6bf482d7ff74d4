"""What is found wrong with data and settings."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mmengine.config import Config
from torch import nn

from mmdcls.errors import InputError


class Run(NamedTuple):
    """What is to be trained or tested. splits: the data loaders in use, of train, val and test."""

    cfg: Config
    model: nn.Module
    splits: tuple[str, ...]

    @property
    def model_config(self) -> dict:
        """Of the model itself, where test-time augmentation holds one."""
        node = self.cfg.model
        while isinstance(node.get("module"), dict):
            node = node["module"]
        return node


class Finding(NamedTuple):
    """is_wrong: training or its evaluation would be wrong, or fail; else it is worth a look."""

    sentence: str
    is_wrong: bool = True


def refuse(findings: Iterable[Finding], warn: Callable[[str], None]) -> None:
    """Raise InputError for the first finding that is wrong; warn of those before it."""
    for finding in findings:
        if finding.is_wrong:
            raise InputError(finding.sentence)
        warn(finding.sentence)
