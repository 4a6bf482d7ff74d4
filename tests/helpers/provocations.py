"""Small runs of our configs, and ways to spoil what they are given."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from torch import nn

from helpers import synthetic

ROOT = Path(__file__).resolve().parents[2]
LEAVES = {
    "seg": ROOT / "configs/upernet/dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py",
    "det": ROOT / "configs/mask_rcnn/mask-rcnn_dcls-convnext-t_fpn_amp-ms-crop-3x_coco.py",
}
TRAINING_IMAGE = {"seg": "images/training/1.jpg", "det": "train2017/1.jpg"}
LABEL_MAP = "annotations/training/1.png"
INSTANCES = "annotations/instances_train2017.json"
BACKBONE = "model.backbone"
TRAIN, VAL = "train_dataloader.dataset", "val_dataloader.dataset"
STRANGER = dict(state_dict={"conv1.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(4)})


@dataclass
class Trial:
    """A small run of one of our configs, on files that belong to it alone."""

    task: str
    folder: Path
    cfg: Config

    def __post_init__(self) -> None:
        self.data, self.work_dir = self.folder / "data", self.folder / "work"

    def merge(self, options: dict) -> None:
        self.cfg.merge_from_dict(options)

    def run(self, tool: str, *arguments: str) -> None:
        config = self.folder / "config.py"
        with short_runs():
            self.cfg.dump(config)
            main = load_tool(tool).main
            main([str(config), *arguments, "--work-dir", str(self.work_dir)])

    def refusal(self, tool: str, *arguments: str) -> str:
        """The sentence with which the tool ends."""
        with pytest.raises(SystemExit) as refused:
            self.run(tool, *arguments)
        return str(refused.value)


@contextmanager
def short_runs() -> Iterator[None]:
    """One thread is faster at this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass
class Case:
    """How to provoke a refusal, and words of its sentence."""

    name: str
    provoke: Callable[[Trial], None]
    words: tuple[str, ...]
    task: str = "seg"

    def __str__(self) -> str:
        return f"{self.task}: {self.name}"


def expect(words: tuple[str, ...], sentence: str) -> None:
    missing = [word for word in words if word not in sentence]
    assert not missing, f"{missing} not in: {sentence}"
    assert "\n" not in sentence


def load_tool(name: str) -> ModuleType:
    path = ROOT / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"tool_{name}", path)
    module = importlib.util.module_from_spec(spec)
    # Tools import their neighbours, as Python lets programs do.
    with patch.object(sys, "path", [str(path.parent), *sys.path]):
        spec.loader.exec_module(module)
    return module


def new_trial(task: str, folder: Path) -> Trial:
    """One iteration on images of 90 x 120 with a sixteenth of the model's channels."""
    cfg = Config.fromfile(LEAVES[task])
    write = synthetic.write_ade if task == "seg" else synthetic.write_coco
    options = {**write(folder / "data"), **synthetic.thin_model(cfg), **synthetic.in_process()}
    for split in synthetic.SPLITS:
        options[f"{split}_dataloader.dataset.serialize_data"] = False
    loop = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=1, val_interval=1)
    cfg.merge_from_dict({**options, "train_cfg": loop, "log_processor.by_epoch": False})
    cfg.train_dataloader.update(batch_size=3, sampler=dict(type="InfiniteSampler"))
    cfg.param_scheduler = []
    cfg.optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3))
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", by_epoch=False, interval=1)
    if task == "seg":
        size = (64, 64)
        cfg.model.data_preprocessor.size = size
        cfg.model.test_cfg = dict(mode="whole")
        cfg.train_dataloader.dataset.pipeline[3].crop_size = size
    resize = ConfigDict(type="Resize", scale=(120, 90))
    cfg.train_dataloader.dataset.pipeline[2] = resize
    if task == "det":
        del cfg.train_dataloader.dataset.pipeline[3]
    for split in ("val", "test"):
        cfg[f"{split}_dataloader"].dataset.pipeline[1] = resize
    # mmengine keeps loggers and visualizers by their names for the whole process.
    cfg.experiment_name = cfg.visualizer.name = folder.name
    return Trial(task, folder, cfg)


def set_to(options: dict) -> Callable[[Trial], None]:
    return lambda trial: trial.merge(options)


def remove(name: str) -> Callable[[Trial], None]:
    return lambda trial: (trial.data / name).unlink()


def cut(name: str, length: int) -> Callable[[Trial], None]:
    def provoke(trial: Trial) -> None:
        path = trial.data / name
        path.write_bytes(path.read_bytes()[:length])

    return provoke


def written(name: str, text: str) -> Callable[[Trial], None]:
    return lambda trial: (trial.data / name).write_text(text) and None


def in_worker(provoke: Callable[[Trial], None]) -> Callable[[Trial], None]:
    def with_worker(trial: Trial) -> None:
        provoke(trial)
        trial.merge({"train_dataloader.num_workers": 1})

    return with_worker


def paint(name: str, label: int, channels: int = 1) -> Callable[[Trial], None]:
    def provoke(trial: Trial) -> None:
        shape = (*synthetic.IMAGE_SIZE, channels)
        assert cv2.imwrite(str(trial.data / name), np.full(shape, label, np.uint8))

    return provoke


def unlabelled(trial: Trial) -> None:
    """A data set where the zero is a class like any other."""
    for split in ("train", "val"):
        dataset = trial.cfg[f"{split}_dataloader"].dataset
        dataset.update(type="BaseSegDataset", reduce_zero_label=False, img_suffix=".jpg")
        dataset.metainfo = dict(classes=tuple(map(str, range(150))))
        for transform in dataset.pipeline:
            if transform.type == "LoadAnnotations":
                transform.pop("reduce_zero_label", None)
    # Elsewhere the synthetic maps may hold a 150 as well, and which is read first is drawn.
    for path in (trial.data / LABEL_MAP).parent.iterdir():
        paint(str(path.relative_to(trial.data)), 0)(trial)
    paint(LABEL_MAP, 150)(trial)


def annotations(name: str, change: Callable[[dict], object]) -> Callable[[Trial], None]:
    """Change the content of an annotation file."""

    def provoke(trial: Trial) -> None:
        path = trial.data / name
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return provoke


def few_classes(trial: Trial) -> None:
    heads = ("bbox_head", "mask_head")
    trial.merge({f"model.roi_head.{head}.num_classes": 1 for head in heads})


def few_classes_of_the_last_stage(trial: Trial) -> None:
    """A cascade of two stages."""
    head = trial.cfg.model.roi_head
    assigner_and_sampler = trial.cfg.model.train_cfg.rcnn
    heads = [deepcopy(head.bbox_head), dict(deepcopy(head.bbox_head), num_classes=1)]
    head.update(type="CascadeRoIHead", num_stages=2, stage_loss_weights=[1, 1], bbox_head=heads)
    trial.cfg.model.train_cfg.rcnn = [deepcopy(assigner_and_sampler) for _ in heads]


def saved(content: object, name: str = "given.pth") -> Callable[[Trial], str]:
    def save(trial: Trial) -> str:
        path = trial.folder / name
        torch.save(content(trial) if callable(content) else content, path)
        return str(path)

    return save


def loaded(option: str, save: Callable[[Trial], str]) -> Callable[[Trial], None]:
    return lambda trial: trial.merge({option: save(trial)})


def build_model(trial: Trial, **changes: object) -> nn.Module:
    model = dict(deepcopy(trial.cfg.model), **changes)
    return MODELS.build(dict(model, _scope_=trial.cfg.default_scope))


def weights(trial: Trial, **changes: object) -> dict:
    """What a checkpoint of the trial's model holds."""
    return dict(state_dict=build_model(trial, **changes).state_dict(), meta={})


def wider(trial: Trial) -> dict:
    backbone = deepcopy(trial.cfg.model.backbone)
    backbone.arch.channels = [2 * width for width in backbone.arch.channels]
    return weights(trial, backbone=backbone)


def fewer_labels(trial: Trial) -> dict:
    checkpoint = weights(trial)
    state = checkpoint["state_dict"]
    for name in [name for name in state if "conv_seg" in name]:
        state[name] = state[name][:5]
    return checkpoint


def nested(trial: Trial) -> dict:
    backbone = weights(trial)["state_dict"]
    prefix = "backbone."
    return dict(model={k.removeprefix(prefix): v for k, v in backbone.items() if prefix in k})


def pretrained(save: Callable[[Trial], str]) -> Callable[[Trial], None]:
    def provoke(trial: Trial) -> None:
        trial.cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=save(trial))

    return provoke
