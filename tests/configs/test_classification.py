"""Classifiers for pretraining: the published order of layers, and weights for the dense models."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn

from helpers import synthetic
from helpers.catalogue import leaf_of, load
from helpers.published import VERSIONS
from helpers.published_convnext import PublishedConvNeXt, randomised, saved
from helpers.untrained import write_untrained
from mmdcls.checkpoint.trained import load_trained
from mmdcls.commands import convert
from mmdcls.commands import deploy as command
from mmdcls.deploy import exporting
from mmdcls.errors import InputError
from mmdcls.models import DclsConvNeXt
from mmdcls.running import launch

ARCH = dict(depths=[1, 1, 1, 1], channels=[8, 16, 24, 32])


def backbone(**options) -> DclsConvNeXt:
    return DclsConvNeXt(ARCH, kernel_size=9, kernel_count=5, **options).eval()


def test_the_mean_is_normalised_and_not_the_map():
    """Against the last stage's map by other code: mean, then LayerNorm, as published."""
    pooled = backbone(out_indices=(3,), gap_before_final_norm=True)
    nn.init.normal_(pooled.norm3.weight)
    nn.init.normal_(pooled.norm3.bias)
    maps = []
    pooled.stages[3].register_forward_hook(lambda module, inputs, output: maps.append(output))
    (vectors,) = pooled(torch.randn(2, 3, 64, 96))
    norm = pooled.norm3
    mean = maps[0].mean((2, 3))
    wanted = nn.functional.layer_norm(mean, (32,), norm.weight, norm.bias, eps=1e-6)
    torch.testing.assert_close(vectors, wanted)


def test_pooling_changes_no_name_so_weights_serve_dense_models():
    pooled, dense = backbone(out_indices=(3,), gap_before_final_norm=True), backbone()
    found = dense.load_state_dict(pooled.state_dict(), strict=False)
    names = {f"norm{index}.{part}" for index in range(3) for part in ("weight", "bias")}
    assert set(found.missing_keys) == names
    assert not found.unexpected_keys


def test_our_tool_trains_a_classifier_whose_averages_fill_a_segmentor(tmp_path):
    cfg = load(leaf_of("classification", "tiny_"))
    cfg.merge_from_dict(
        {
            **synthetic.thin_model(cfg),
            **synthetic.write_data(cfg, tmp_path / "data"),
            **synthetic.in_process(),
            "train_dataloader.batch_size": 2,
            "train_cfg.max_epochs": 1,
            "param_scheduler": [],
            "visualizer.name": "classification",
        }
    )
    cfg.launcher, cfg.work_dir = "none", str(tmp_path / "work")
    launch.run(cfg, "train")
    checkpoint = str(tmp_path / "work/epoch_1.pth")

    dense = load(leaf_of("upernet", "tiny_"))
    dense.merge_from_dict(synthetic.thin_model(dense))
    dense.model.backbone.init_cfg = dict(
        type="Pretrained", checkpoint=checkpoint, prefix="backbone."
    )
    segmentor = MODELS.build(dense.model)
    segmentor.init_weights()
    found = segmentor.backbone.state_dict()
    saved = torch.load(checkpoint, weights_only=True)
    for name, value in saved["state_dict"].items():
        if name.startswith("backbone."):
            assert torch.equal(found[name.removeprefix("backbone.")], value), name
    # The averages start at the weights after the first step and hardly follow the second.
    ones = "backbone.stages.0.0.norm.weight"
    average, last = saved["state_dict"][ones], saved["ema_state_dict"][f"module.{ones}"]
    assert 0 < (average - 1).abs().max() < (last - 1).abs().max()


@pytest.mark.parametrize("size", ["tiny_", "small_", "base_", "tiny-gaussian"])
def test_the_recipe_is_the_published_one(size):
    cfg = load(leaf_of("classification", size))
    rates = {"tiny_": 0.1, "small_": 0.4, "base_": 0.5, "tiny-gaussian": 0.1}
    assert cfg.model.backbone.drop_path_rate == rates[size]
    assert cfg.model.backbone.layer_scale_init_value == 1e-6
    cfg.merge_from_dict(synthetic.thin_model(cfg))
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {id(p): group for group in wrapper.param_groups for p in group["params"]}
    positions = groups[id(model.backbone.stages[0].positions)]
    assert (positions["lr"], positions["weight_decay"]) == (pytest.approx(0.02), 0)
    head = groups[id(model.head.fc.weight)]
    assert (head["lr"], head["weight_decay"]) == (pytest.approx(0.004), 0.05)
    assert (cfg.train_cfg.max_epochs, cfg.optim_wrapper.clip_grad) == (300, None)
    (ema,) = (hook for hook in cfg.custom_hooks if hook.type == "EMAHook")
    assert 1 - ema.momentum == 0.9999


def test_a_classifier_is_deployed_with_its_logits(tmp_path):
    leaf = leaf_of("classification", "tiny_")
    files = write_untrained(leaf, tmp_path)
    command.main([*files, str(tmp_path / "out"), "--formats", "pt2"])
    model = load_trained(*files).model
    image = exporting.images((3, 128, 97))
    preprocessor = model.data_preprocessor
    with torch.no_grad():
        wanted = model((image - preprocessor.mean) / preprocessor.std, mode="tensor")
    (found,) = torch.export.load(tmp_path / "out/model.pt2").module()(image)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def logits_of(theirs: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """As the published classifier computes them, from its last map before any norm."""
    maps = []
    handle = theirs.stages[3].register_forward_hook(lambda module, inputs, out: maps.append(out))
    theirs(images)
    handle.remove()
    return theirs.head(theirs.norm(maps[0].mean((2, 3))))


def classifier(leaf: Path, folder: Path) -> tuple[Config, nn.Module]:
    """A thin config with its data, and the published classifier of its sizes, of random values."""
    cfg = load(leaf)
    cfg.merge_from_dict(
        {
            **synthetic.thin_model(cfg),
            **synthetic.write_data(cfg, folder / "data"),
            **synthetic.in_process(),
            "visualizer.name": folder.name,
        }
    )
    backbone = cfg.model.backbone
    kernel = dict(kernel_size=backbone.kernel_size, kernel_count=backbone.kernel_count)
    version = VERSIONS[backbone.interpolation]
    theirs = PublishedConvNeXt(**backbone.arch, **kernel, version=version)
    theirs.head = nn.Linear(backbone.arch.channels[-1], cfg.model.head.num_classes)
    return cfg, randomised(theirs, backbone.kernel_size // 2)


@pytest.mark.parametrize("size", ["tiny_", "tiny-gaussian"])
def test_a_published_classifier_is_tested_and_turned_into_ours_and_back(size, tmp_path):
    cfg, theirs = classifier(leaf_of("classification", size), tmp_path)
    config, ours, back = (str(tmp_path / name) for name in ("config.py", "ours.pth", "back.pth"))
    cfg.dump(config)
    file = saved(dict(model=theirs.state_dict()), tmp_path)
    convert.main([file, ours, "--config", config])
    convert.main([ours, back, "--config", config, "--to", "published"])

    model = load_trained(config, ours).model
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        wanted = logits_of(theirs, images)
        torch.testing.assert_close(model(images, mode="tensor"), wanted, rtol=1e-5, atol=1e-5)

    again = torch.load(back, weights_only=True)["model"]
    assert again.keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        assert torch.equal(again[name], value), name

    cfg.launcher, cfg.work_dir, cfg.load_from = "none", str(tmp_path / "work"), file
    launch.run(cfg, "test")


def test_a_published_classifier_of_other_classes_is_refused_and_its_backbone_taken(tmp_path):
    cfg, theirs = classifier(leaf_of("classification", "tiny_"), tmp_path)
    file = saved(dict(model=theirs.state_dict()), tmp_path)
    cfg.model.head.num_classes = 3
    cfg.dump(tmp_path / "config.py")
    with pytest.raises(InputError, match=r"head\.fc\.weight is .* backbone's init_cfg"):
        convert.main([file, str(tmp_path / "ours.pth"), "--config", str(tmp_path / "config.py")])
    cfg.model.backbone.init_cfg = dict(type="mmdcls.Pretrained", checkpoint=file)
    model = MODELS.build(cfg.model)
    model.init_weights()
    assert torch.equal(model.backbone.norm3.weight, theirs.norm.weight)
