"""Configs of networks that are converted: from dense weights, exactly, and through a training."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from helpers import synthetic
from helpers.catalogue import CONVERTED, leaf_of, load
from mmdcls.dcls import DclsNd
from mmdcls.running import launch

# Cells of the largest dense kernel that any of them replaces.
MOST_CELLS = 49
every_leaf = pytest.mark.parametrize("leaf", CONVERTED, ids=lambda path: path.stem)


def thin(leaf: Path) -> Config:
    cfg = load(leaf)
    cfg.merge_from_dict(synthetic.thin_model(cfg))
    return cfg


def dense_of(backbone: dict) -> nn.Module:
    """The network without the rule, with random weights, and statistics as of a training."""
    options = {key: value for key, value in backbone.items() if key not in ("network", "dcls")}
    model = MODELS.build(dict(options, type=backbone.network))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2.0)
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                # Scales of layers start near zero, and what they scale would not be seen.
                parameter.copy_(torch.rand_like(parameter) + 0.5 * (not name.endswith("bias")))
    model.eval()
    return model


def rules_of(backbone: dict) -> list[dict]:
    return backbone.dcls if isinstance(backbone.dcls, list) else [backbone.dcls]


def assert_same_maps(ours: nn.Module, theirs: nn.Module) -> None:
    ours.eval()
    image = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        for mine, other in zip(ours(image), theirs(image), strict=True):
            # mmcv's roi_align reads any other order of cells as if it were this one.
            assert mine.is_contiguous()
            assert (mine - other).norm() <= 1e-5 * other.norm()
            assert other.std() > 0


@every_leaf
def test_with_as_many_elements_as_cells_it_is_the_dense_network(leaf, tmp_path):
    backbone = thin(leaf).model.backbone
    theirs = dense_of(backbone)
    torch.save(theirs.state_dict(), tmp_path / "dense.pth")
    for rule in rules_of(backbone):
        rule.kernel_count = MOST_CELLS
    backbone.init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "dense.pth"))
    ours = MODELS.build(backbone)
    ours.init_weights()
    layers = [module for module in ours.modules() if isinstance(module, DclsNd)]
    assert layers and all(layer.kernel_count == MOST_CELLS for layer in layers)
    assert_same_maps(ours, theirs)


@pytest.mark.slow
@every_leaf
def test_it_trains_from_dense_weights_and_validates(leaf, tmp_path):
    cfg = thin(leaf)
    torch.save(dense_of(cfg.model.backbone).state_dict(), tmp_path / "dense.pth")
    start = dict(type="Pretrained", checkpoint=str(tmp_path / "dense.pth"))
    cfg.model.backbone.init_cfg = start
    iterations = dict(type="IterBasedTrainLoop", max_iters=2, val_interval=2)
    options = {
        **synthetic.write_data(cfg, tmp_path / "data"),
        **synthetic.in_process(),
        "param_scheduler": [],
        "train_cfg": dict(iterations, _delete_=True),
        "default_hooks.checkpoint": dict(by_epoch=False, interval=2, save_optimizer=False),
        "log_processor.by_epoch": False,
        "visualizer.name": leaf.stem,
    }
    options |= synthetic.quarter_size(cfg)
    for key, _ in synthetic.leaves("train_dataloader", cfg.train_dataloader):
        if key.endswith(".scales"):
            options[key] = [(120, 160)]
    if cfg.default_scope == "mmdet":
        # mmcv's nms and roi_align know no bfloat16 on CPUs.
        options["optim_wrapper.type"] = "OptimWrapper"
    cfg.merge_from_dict(options)
    cfg.launcher, cfg.work_dir = "none", str(tmp_path / "work")
    launch.run(cfg, "train")
    saved = torch.load(tmp_path / "work/iter_2.pth", weights_only=True)["state_dict"]
    assert any(name.endswith(".positions") for name in saved)
    assert all(value.isfinite().all() for value in saved.values())


def test_a_network_of_timm_starts_from_what_it_has_loaded_while_it_was_built(tmp_path):
    import timm

    backbone = thin(leaf_of("upernet", "timm-convnext-t")).model.backbone
    dense = timm.create_model(backbone.model_name)
    torch.save(dense.state_dict(), tmp_path / "timm.pth")
    backbone.update(pretrained=True, pretrained_cfg_overlay=dict(file=str(tmp_path / "timm.pth")))
    backbone.dcls.kernel_count = MOST_CELLS
    ours = MODELS.build(backbone)
    options = {key: value for key, value in backbone.items() if key not in ("network", "dcls")}
    theirs = MODELS.build(dict(options, type="TIMMBackbone"))
    theirs.eval()
    assert torch.equal(theirs.timm_model.stem_0.weight, dense.stem[0].weight)
    assert_same_maps(ours, theirs)
