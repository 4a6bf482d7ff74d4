"""The recipes are the published ones: learning rates, schedules, batches, crops."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS
from mmengine.runner import Runner, set_random_seed
from torch import nn

from helpers import synthetic
from helpers.catalogue import LEAVES, METHODS, build_without_memory, leaf_of, load


@pytest.mark.parametrize(
    ("method", "size", "rate", "downsampling", "positions"),
    [
        # What the published runs applied: factors of the learning rate, stage by stage.
        ("upernet", "tiny_", 1e-4, 0.478, (0.531, 0.590, 0.656, 0.729)),
        ("upernet", "small_", 1e-4, 0.254, (0.282, 0.314, 0.349, 0.387)),
        ("upernet", "base_", 1e-4, 0.254, (0.282, 0.314, 0.349, 0.387)),
        ("cascade_mask_rcnn", "-t_", 2e-4, 0.7**7, (0.118, 0.168, 0.240, 0.700)),
        ("cascade_mask_rcnn", "-s_", 2e-4, 0.7**13, (0.7**12, 0.7**11, 0.7**10, 0.7)),
        ("cascade_mask_rcnn", "-b_", 2e-4, 0.8**13, (0.8**12, 0.8**11, 0.8**10, 0.8)),
        ("mask_rcnn", "-t_", 1e-4, 0.95**7, (0.95**6, 0.95**5, 0.95**4, 0.95)),
    ],
)
def test_learning_rates_are_the_published_ones(method, size, rate, downsampling, positions):
    cfg = load(leaf_of(method, size))
    model = build_without_memory(cfg)
    cfg.optim_wrapper.type = "OptimWrapper"
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {id(p): group for group in wrapper.param_groups for p in group["params"]}

    def factor(parameter: nn.Parameter) -> float:
        return groups[id(parameter)]["lr"] / rate

    backbone = model.backbone
    found = [factor(stage.positions) for stage in backbone.stages]
    assert found == pytest.approx(positions, abs=6e-4)
    stem = backbone.downsample_layers[0][0]
    assert factor(stem.weight) == pytest.approx(downsampling, abs=6e-4)
    assert factor(backbone.norm0.weight) == 1
    assert {factor(p) for name, p in model.named_parameters() if "head" in name} == {1}
    assert groups[id(stem.weight)]["weight_decay"] == 0.05
    assert {groups[id(stage.positions)]["weight_decay"] for stage in backbone.stages} == {0}


@pytest.mark.parametrize(
    ("method", "size", "arch", "kernel_count", "drop_path_rate"),
    [
        ("upernet", "tiny_", "tiny", 34, 0.4),
        ("upernet", "small_", "small", 40, 0.3),
        ("upernet", "base_", "base", 40, 0.4),
        ("cascade_mask_rcnn", "-t_", "tiny", 34, 0.4),
        ("cascade_mask_rcnn", "-s_", "small", 40, 0.6),
        ("cascade_mask_rcnn", "-b_", "base", 40, 0.7),
        ("mask_rcnn", "-t_", "tiny", 34, 0.4),
    ],
)
def test_backbones_are_the_published_ones(method, size, arch, kernel_count, drop_path_rate):
    backbone = load(leaf_of(method, size)).model.backbone
    assert (backbone.arch, backbone.kernel_count) == (arch, kernel_count)
    assert (backbone.kernel_size, backbone.interpolation) == (17, "bilinear")
    assert (backbone.drop_path_rate, backbone.layer_scale_init_value) == (drop_path_rate, 1.0)


@pytest.mark.parametrize(
    "method",
    [method for method in METHODS if any(method.glob("*-gaussian-k23_*.py"))],
    ids=lambda path: path.name,
)
def test_a_gaussian_leaf_differs_from_the_bilinear_one_by_its_kernel_and_start_only(method):
    (gaussian,) = method.glob("*-gaussian-k23_*.py")
    wide = load(gaussian)
    backbone = wide.model.backbone
    kernel = (backbone.kernel_size, backbone.kernel_count, backbone.interpolation)
    assert kernel == (23, 26, "gaussian")
    backbone.update(kernel_size=17, kernel_count=34, interpolation="bilinear")
    plain = load(method / gaussian.name.replace("-gaussian-k23", ""))
    if "checkpoint_file" in plain:
        start = plain.checkpoint_file
        wide.checkpoint_file = backbone.init_cfg.checkpoint = start
    assert wide.to_dict() == plain.to_dict()


def rates(cfg: Config, iterations: int) -> list[float]:
    """The learning rate at each of the first iterations, as a share of the config's."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = [
        PARAM_SCHEDULERS.build(options, default_args=dict(optimizer=optimiser))
        for options in cfg.param_scheduler
        if not options.by_epoch
    ]
    found = []
    for _ in range(iterations):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        for scheduler in schedulers:
            scheduler.step()
    return found


def test_segmentation_warms_up_and_falls_as_published():
    """Linear from a millionth over 1500 iterations, times a straight line to 0 at 160000."""
    found = rates(load(leaf_of("upernet", "tiny_")), 3000)
    for iteration, rate in enumerate(found):
        warm_up = min(1, 1e-6 + (1 - 1e-6) * iteration / 1500)
        assert rate == pytest.approx(warm_up * (1 - iteration / 160000), rel=1e-3)


def test_detection_warms_up_as_published():
    """Linear from a thousandth over 500 iterations; divided by 10 after epochs 27 and 33."""
    cfg = load(leaf_of("cascade_mask_rcnn", "-t_"))
    for iteration, rate in enumerate(rates(cfg, 1000)):
        warm_up = min(1, 0.001 + 0.999 * iteration / 500)
        assert rate == pytest.approx(warm_up, rel=3e-3)
    (steps,) = (options for options in cfg.param_scheduler if options.by_epoch)
    assert (cfg.train_cfg.max_epochs, steps.milestones, steps.gamma) == (36, [27, 33], 0.1)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda path: path.stem)
def test_mixed_precision_is_in_the_name_where_it_is_in_the_config(leaf):
    assert ("-amp-" in leaf.stem or "_amp-" in leaf.stem) == (
        "Amp" in Config.fromfile(leaf).optim_wrapper.type
    )


@pytest.mark.parametrize(
    "leaf", [leaf for leaf in LEAVES if leaf.parent in METHODS], ids=lambda path: path.stem
)
def test_the_gpus_make_the_published_batch_and_crops_fill_it(leaf, tmp_path):
    set_random_seed(0)
    cfg = load(leaf)
    # Of a classifier, the name says how many.
    gpus, published = (32, 4096) if cfg.default_scope == "mmpretrain" else (8, 16)
    assert gpus * cfg.train_dataloader.batch_size == published
    assert cfg.auto_scale_lr.base_batch_size == published
    cfg.merge_from_dict({**synthetic.write_data(cfg, tmp_path), **synthetic.in_process()})
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader)))
    inputs = MODELS.build(cfg.model.data_preprocessor)(batch, training=True)["inputs"]
    if cfg.default_scope == "mmseg":
        assert tuple(inputs.shape[2:]) == (512, 512)
        assert cfg.model.test_cfg.get("crop_size", (512, 512)) == (512, 512)
    elif cfg.default_scope == "mmdet":
        assert all(side % 32 == 0 for side in inputs.shape[2:])
    else:
        assert tuple(inputs.shape[2:]) == (224, 224)
