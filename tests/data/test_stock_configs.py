"""Nothing that mmseg and mmdet ship is taken for wrong, odd as its classes or losses may be."""

from importlib import import_module
from pathlib import Path

import pytest
from mmengine.registry import MODELS

from helpers.catalogue import CONFIGS as CONFIGS_OF_OURS
from mmdcls.config import read_config
from mmdcls.data.checks import CHECKS
from mmdcls.data.classes import check_class_weights, check_classes
from mmdcls.data.findings import Run

CONFIGS = {
    "mmdet": (
        "rpn/rpn_r50_fpn_1x_coco.py",  # one class of proposals
        "v3det/faster_rcnn_r50_fpn_8x4_sample1e-3_mstrain_v3det_2x.py",
        "lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py",
        "panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py",
        "soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py",
        "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
        "mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py",
        "maskformer/maskformer_r50_ms-16xb1-75e_coco.py",
        "dino/dino-4scale_r50_8xb2-12e_coco.py",
        "detr/detr_r50_8xb2-150e_coco.py",
        "yolox/yolox_tiny_8xb8-300e_coco.py",
        "openimages/retinanet_r50_fpn_32xb2-1x_openimages.py",
        "pascal_voc/retinanet_r50_fpn_1x_voc0712.py",
    ),
    "mmseg": (
        "mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py",  # a weight for no object
        "maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py",
        "stdc/stdc1_4xb12-80k_cityscapes-512x1024.py",  # edges for an auxiliary head
        "point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py",
        "pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py",
        "unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py",
        "pspnet/pspnet_r50-d8_4xb4-80k_loveda-512x512.py",
        "segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py",
    ),
}


@pytest.mark.parametrize(
    ("package", "config"), [(package, name) for package in CONFIGS for name in CONFIGS[package]]
)
def test_no_config_that_others_ship_is_refused(package: str, config: str):
    (folder,) = import_module(package).__path__
    cfg = read_config(str(Path(folder, ".mim/configs", config)))
    run = Run(cfg, MODELS.build(cfg.model), ("train", "val", "test"))
    wrong = [f for check in CHECKS for f in check(run) if f.is_wrong]
    assert not wrong


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ("mask2former/*_ade20k-*.py", dict(num_classes=3), "class_weight has 151 numbers"),
        ("mask2former/*_coco.py", dict(num_things_classes=3), "class_weight has 81 numbers"),
        ("mask2former/*_coco.py", dict(num_things_classes=3), "panoptic_head.num_classes=3"),
    ],
)
def test_classes_of_a_head_with_queries_are_looked_at(config: str, options: dict, words: str):
    (leaf,) = CONFIGS_OF_OURS.glob(config)
    cfg = read_config(str(leaf))
    cfg.model.get("decode_head", cfg.model.get("panoptic_head")).update(options)
    run = Run(cfg, MODELS.build(cfg.model), ("train", "val"))
    found = [*check_classes(run), *check_class_weights(run)]
    assert any(words in finding.sentence for finding in found if finding.is_wrong)
