"""The recipes are the published ones: learning rates, schedules, batches, crops."""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS
from mmengine.runner import Runner, set_random_seed
from mmengine.structures import InstanceData
from torch import nn

from helpers import synthetic
from helpers.catalogue import CONFIGS, LEAVES, METHODS, build_without_memory, leaf_of, load


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


@pytest.mark.slow
def test_segmentation_warms_up_and_falls_as_published():
    """Linear from a millionth over 1500 iterations, times a straight line to 0 at 160000."""
    found = np.array(rates(load(leaf_of("upernet", "tiny_")), 160000))
    iteration = np.arange(160000)
    warm_up = np.minimum(1, 1e-6 + (1 - 1e-6) * iteration / 1500)
    np.testing.assert_allclose(found, warm_up * (1 - iteration / 160000), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "size", "epochs", "milestones"),
    [
        ("cascade_mask_rcnn", "-t_", 36, [27, 33]),
        ("mask_rcnn", "-t_", 36, [27, 33]),
        ("mask_rcnn", "resnet50", 12, [8, 11]),
    ],
)
def test_detection_warms_up_as_published(method, size, epochs, milestones):
    """Linear from a thousandth over 500 iterations; divided by 10 after two epochs."""
    cfg = load(leaf_of(method, size))
    published = np.minimum(1, 0.001 + 0.999 * np.arange(1000) / 500)
    np.testing.assert_allclose(rates(cfg, 1000), published, rtol=0, atol=1e-12)
    (steps,) = (options for options in cfg.param_scheduler if options.by_epoch)
    assert (cfg.train_cfg.max_epochs, steps.milestones, steps.gamma) == (epochs, milestones, 0.1)


every_detector = pytest.mark.parametrize(
    "leaf",
    [leaf for leaf in LEAVES if "mask" in leaf.stem and "rcnn" in leaf.stem],
    ids=lambda path: path.stem,
)


@every_detector
def test_boxes_without_width_or_height_stay_proposals_as_published(leaf):
    cfg = load(leaf)
    head = MODELS.build(cfg.model.rpn_head)
    boxes = torch.tensor([[0.0, 0, 0, 40], [10, 10, 50, 10], [60, 60, 90, 90]])
    for options in (cfg.model.train_cfg.rpn_proposal, cfg.model.test_cfg.rpn):
        proposals = InstanceData(
            bboxes=boxes, scores=torch.tensor([0.9, 0.8, 0.7]), level_ids=torch.zeros(3)
        )
        found = head._bbox_post_process(proposals, options)
        assert found.bboxes.tolist() == boxes.tolist()


@every_detector
def test_mask_heads_start_as_those_of_mask_rcnn(leaf):
    """Convolutions normal with a variance of 2 / fan-out, which Kaiming gives a ReLU; no bias."""
    if leaf.parent.name == "demo":
        pytest.skip("the demo leaves its heads as mmdet starts them, which its config explains")
    set_random_seed(0)
    cfg = load(leaf)
    roi_head = MODELS.build(
        dict(
            cfg.model.roi_head, train_cfg=cfg.model.train_cfg.rcnn, test_cfg=cfg.model.test_cfg.rcnn
        )
    )
    roi_head.init_weights()
    convolutions = [
        module
        for module in roi_head.mask_head.modules()
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    heads = cfg.model.roi_head.get("num_stages", 1)
    # Four, the upsampling, the logits.
    assert len(convolutions) == 6 * heads
    for convolution in convolutions:
        weight = convolution.weight.detach()
        # Which torch counts so for transposed ones as well.
        fan_out = weight.shape[0] * weight[0, 0].numel()
        # Five standard errors of the deviation of so many numbers.
        within = 5 / (2 * weight.numel()) ** 0.5
        assert weight.std().item() * (fan_out / 2) ** 0.5 == pytest.approx(1, abs=within)
        assert convolution.bias is None or not convolution.bias.any()


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
    # Where the name does not say how many GPUs with how many images, they are 8 with 2.
    said = re.search(r"_(\d+)xb(\d+)", leaf.stem)
    gpus, images = map(int, said.groups() if said else (8, 2))
    assert cfg.train_dataloader.batch_size == images
    assert cfg.auto_scale_lr.base_batch_size == gpus * images
    cfg.merge_from_dict({**synthetic.write_data(cfg, tmp_path), **synthetic.in_process()})
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader)))
    inputs = MODELS.build(cfg.model.data_preprocessor)(batch, training=True)["inputs"]
    if cfg.default_scope == "mmseg":
        assert tuple(inputs.shape[2:]) == (512, 512)
        assert cfg.model.test_cfg.get("crop_size", (512, 512)) == (512, 512)
    elif cfg.default_scope == "mmdet":
        divisor = cfg.model.data_preprocessor.get("pad_size_divisor", 32)
        assert all(side % divisor == 0 for side in inputs.shape[2:])
    else:
        assert tuple(inputs.shape[2:]) == (224, 224)


# Ours, and the config of mmseg or mmdet whose recipe it takes over.
TAKEN_OVER = {
    "mask2former/*_ade20k-*.py": "mmseg/mask2former/mask2former_swin-t_8xb2-160k_ade20k-512x512.py",
    "mask2former/*_coco.py": (
        "mmdet/mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py"
    ),
    "dino/*.py": "mmdet/dino/dino-4scale_r50_8xb2-12e_coco.py",
    "rtmdet/*.py": "mmdet/rtmdet/rtmdet_s_8xb32-300e_coco.py",
}
# What numbers of a training follow from; backbones and their names are ours.
OF_A_RECIPE = re.compile(
    r"model\.(?!backbone|neck\.in_channels|(decode|panoptic)_head\.in_channels).*"
    r"(loss_weight|num_queries|num_layers|class_weight|channels|num_points|ratio|weight|topk)$"
    r"|train_dataloader\.(dataset\.pipeline\..*(type|scale|scales|size|ratio_range|prob)|batch_size)$"
    r"|optim_wrapper\.(type|optimizer\.(type|lr|weight_decay)|clip_grad\.max_norm)$"
    r"|optim_wrapper\.paramwise_cfg\.custom_keys\.(backbone\.lr_mult|\w+_\w+\.decay_mult)$"
    r"|train_cfg\.(max_epochs|max_iters|val_interval)$"
)
# Of Swin alone.
OF_SWIN = ("absolute_pos_embed", "relative_position_bias_table")


@pytest.mark.parametrize("ours", TAKEN_OVER)
def test_a_recipe_that_is_taken_over_has_its_numbers(ours):
    (leaf,) = CONFIGS.glob(ours)
    package, _, name = TAKEN_OVER[ours].partition("/")
    theirs = Path(find_spec(package).origin).parent / ".mim/configs" / name
    assert settings(leaf) == settings(theirs)


def settings(path: Path) -> dict:
    cfg = Config.fromfile(path)
    found = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in synthetic.leaves("", cfg.to_dict())
        if OF_A_RECIPE.fullmatch(key) and not any(part in key for part in OF_SWIN)
    }
    schedulers = cfg.param_scheduler
    schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
    found["schedule"] = [
        {key: value for key, value in options.items() if key not in ("begin", "_scope_")}
        for options in schedulers
    ]
    return found


def test_a_head_with_queries_learns_at_the_rates_of_its_recipe_and_layers_can_decay_beside_it():
    cfg = load(leaf_of("mask2former", "_coco"))
    model = build_without_memory(cfg)
    options = cfg.optim_wrapper.paramwise_cfg
    for decay, top in ((1.0, 7), (0.8, 7)):
        options.update(decay_rate=decay, num_layers=None if decay == 1 else 6)
        groups = build_optim_wrapper(model, cfg.optim_wrapper).param_groups
        of = {id(p): group for group in groups for p in group["params"]}
        head, backbone = model.panoptic_head, model.backbone
        for embedding in (head.query_embed, head.query_feat, head.level_embed):
            group = of[id(embedding.weight)]
            assert (group["lr"], group["weight_decay"]) == (1e-4, 0.0)
        assert of[id(head.cls_embed.weight)]["weight_decay"] == 0.05
        stem = of[id(backbone.downsample_layers[0][0].weight)]
        assert stem["lr"] == pytest.approx(1e-5 * decay**top)
        assert stem["weight_decay"] == 0.05
        positions = [of[id(stage.positions)] for stage in backbone.stages]
        assert {group["weight_decay"] for group in positions} == {0.0}
        assert positions[0]["lr"] == pytest.approx(1e-5 * decay ** (top - 1))
