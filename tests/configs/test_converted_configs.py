"""Configs of networks that are converted: from dense weights, exactly, and through a training."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from helpers import synthetic
from helpers.catalogue import CONVERTED, leaf_of, load
from mmdcls import commands
from mmdcls.checkpoint.trained import load_trained
from mmdcls.dcls import DclsNd
from mmdcls.errors import InputError
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


def in_two_iterations(leaf: Path, folder: Path) -> Config:
    """A config that trains, validates and saves, without a start."""
    cfg = thin(leaf)
    iterations = dict(type="IterBasedTrainLoop", max_iters=2, val_interval=2)
    options = {
        **synthetic.write_data(cfg, folder / "data"),
        **synthetic.in_process(),
        **synthetic.quarter_size(cfg),
        **synthetic.small_scales(cfg),
        "param_scheduler": [],
        "train_cfg": dict(iterations, _delete_=True),
        "default_hooks.checkpoint": dict(by_epoch=False, interval=2, save_optimizer=False),
        "log_processor.by_epoch": False,
        "visualizer.name": f"{leaf.stem}_{folder.name}",
        "experiment_name": f"{leaf.stem}_{folder.name}",
    }
    if cfg.default_scope == "mmdet":
        # mmcv's nms and roi_align know no bfloat16 on CPUs.
        options["optim_wrapper.type"] = "OptimWrapper"
    cfg.merge_from_dict(options)
    cfg.launcher, cfg.work_dir = "none", str(folder / "work")
    return cfg


@pytest.mark.slow
@every_leaf
def test_it_trains_from_dense_weights_and_validates(leaf, tmp_path):
    cfg = in_two_iterations(leaf, tmp_path)
    torch.save(dense_of(cfg.model.backbone).state_dict(), tmp_path / "dense.pth")
    cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "dense.pth"))
    launch.run(cfg, "train")
    (log,) = tmp_path.glob("work/*/*.log")
    assert "dense kernels became elements, with a relative error of" in log.read_text()
    saved = torch.load(tmp_path / "work/iter_2.pth", weights_only=True)["state_dict"]
    assert any(name.endswith(".positions") for name in saved)
    assert all(value.isfinite().all() for value in saved.values())


SEGNEXT = leaf_of("segnext", "mscan-t")


def dense_segmentor(cfg: Config, folder: Path, **options) -> str:
    backbone = {key: value for key, value in cfg.model.backbone.items() if key != "dcls"}
    backbone["type"] = backbone.pop("network")
    model = MODELS.build(dict(cfg.model, backbone=dict(backbone, **options)))
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / "dense.pth")
    return str(folder / "dense.pth")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["train", "test"])
def test_a_whole_dense_segmentor_is_trained_on_and_tested(task, tmp_path):
    cfg = in_two_iterations(SEGNEXT, tmp_path)
    cfg.load_from = dense_segmentor(cfg, tmp_path)
    launch.run(cfg, task)


@pytest.mark.parametrize(
    ("resume", "widths", "misfit"),
    [
        (True, [8, 16, 40, 64], r"conv0\.positions is not there"),
        (False, [16, 32, 80, 128], r"is \(8, 3, 3, 3\) there"),
    ],
    ids=["to resume, from dense", "to start, from a wider one"],
)
def test_what_does_not_fit_is_refused(resume, widths, misfit, tmp_path):
    cfg = in_two_iterations(SEGNEXT, tmp_path)
    cfg.load_from, cfg.resume = dense_segmentor(cfg, tmp_path, embed_dims=widths), resume
    with pytest.raises(SystemExit, match=f"of another model: .*{misfit}"):
        launch.run(cfg, "train")


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


@pytest.mark.slow
def test_what_fills_a_model_or_only_looks_at_it_downloads_nothing(tmp_path, capsys):
    cfg = in_two_iterations(leaf_of("upernet", "timm-convnext-t"), tmp_path)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / "trained.pth")
    overlay = dict(file=str(tmp_path / "nowhere.pth"))
    cfg.model.backbone.update(pretrained=True, pretrained_cfg_overlay=overlay)
    with pytest.raises(InputError, match="pretrained=False"):
        MODELS.build(cfg.model)
    config, trained = str(tmp_path / "config.py"), str(tmp_path / "trained.pth")
    cfg.dump(config)
    assert commands.main(["check", config]) == 0
    commands.main(["convs", config])
    commands.main(["flops", config, "--shape", "64", "64"])
    commands.main(["convert", trained, str(tmp_path / "new.pth"), "--config", config])
    load_trained(config, trained)
    cfg.load_from = trained
    launch.run(cfg, "test")
