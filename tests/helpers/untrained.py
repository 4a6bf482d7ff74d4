"""Small models that nobody trained, as config and checkpoint in files."""

from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import MODELS

from helpers import synthetic
from helpers.catalogue import load
from mmdcls.dcls import ElementPositions


class Files(NamedTuple):
    config: str
    checkpoint: str


def write_untrained(leaf: Path, folder: Path, options: dict | None = None) -> Files:
    """A thin model of a leaf, its data sets in folder/data, and a checkpoint as a Runner's."""
    cfg = load(leaf)
    cfg.merge_from_dict(
        {
            **synthetic.write_data(cfg, folder / "data"),
            **synthetic.in_process(),
            **synthetic.thin_model(cfg),
            **(options or {}),
        }
    )
    return write_model(cfg, folder)


def write_model(cfg: Config, folder: Path) -> Files:
    files = Files(str(folder / "config.py"), str(folder / "checkpoint.pth"))
    cfg.dump(files.config)
    model = MODELS.build(cfg.model)
    for module in model.modules():
        if isinstance(module, ElementPositions) and module.positions is not None:
            # Away from the centre: an axis mixed up would show.
            module.positions.data[0].add_(1.0)
    hub = MessageHub.get_instance("untrained")
    hub.update_scalar("train/loss", 1.0)
    classes = synthetic.classes_of(cfg.default_scope, cfg.test_dataloader.dataset)
    palette = [[index, 255 - index, 0] for index in range(len(classes))]
    meta = dict(dataset_meta=dict(classes=classes, palette=palette), cfg=cfg.pretty_text)
    content = dict(meta=meta, state_dict=model.state_dict(), message_hub=hub.state_dict())
    torch.save(content, files.checkpoint)
    return files
