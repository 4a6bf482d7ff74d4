"""Where settings, annotation files and model disagree, that is said before training begins."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from torch.utils.data import TensorDataset

from helpers.provocations import (
    INSTANCES,
    TRAIN,
    VAL,
    Case,
    Trial,
    annotations,
    build_model,
    expect,
    new_trial,
    set_to,
)
from mmdcls.data.checks import findings_of
from mmdcls.data.findings import Finding, Run

VALIDATION = "annotations/instances_val2017.json"
SEG, DET = "model.decode_head", "model.roi_head"
DATASETS.register_module(module=TensorDataset)
EPOCHS = dict(_delete_=True, type="EpochBasedTrainLoop", max_epochs=1)


def of_objects(name: str, change: Callable[[dict], object]) -> Callable[[Trial], None]:
    def change_all(content: dict) -> None:
        for annotation in content["annotations"]:
            change(annotation)

    return annotations(name, change_all)


def without(key: str, name: str = INSTANCES) -> Callable[[Trial], None]:
    def drop(content: dict) -> None:
        for item in (*content["annotations"], *content["images"]):
            item.pop(key, None)

    return annotations(name, drop)


def every(*changes: Callable[[Trial], None]) -> Callable[[Trial], None]:
    return lambda trial: [change(trial) for change in changes] and None


def own_classes(trial: Trial) -> None:
    for split in (TRAIN, VAL):
        kind = dict(type="BaseSegDataset", img_suffix=".jpg", reduce_zero_label=False)
        trial.merge({f"{split}.{key}": value for key, value in kind.items()})
        trial.merge({f"{split}.metainfo": dict(classes=("a", "b", "c"))})


def head_of(classes: int, **others: object) -> Callable[[Trial], None]:
    options = dict(num_classes=classes, **others)
    return set_to({f"{SEG}.{key}": value for key, value in options.items()})


def loaded_otherwise(trial: Trial) -> None:
    own_classes(trial)
    for step in trial.cfg.val_dataloader.dataset.pipeline:
        if step.type == "LoadAnnotations":
            step.reduce_zero_label = True


def in_wrapper(trial: Trial) -> None:
    dataset = dict(trial.cfg.val_dataloader.dataset)
    trial.merge({VAL: dict(type="ConcatDataset", datasets=[dataset])})


def balanced(trial: Trial) -> None:
    inner = dict(trial.cfg.train_dataloader.dataset)
    trial.cfg.train_dataloader.dataset = dict(
        type="ClassBalancedDataset", oversample_thr=0.1, dataset=inner
    )


def aware(trial: Trial) -> None:
    trial.cfg.train_dataloader.sampler = dict(type="mmdet.ClassAwareSampler")
    inner = dict(trial.cfg.train_dataloader.dataset)
    trial.cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=2, dataset=inner)


def without_masks(trial: Trial) -> None:
    trial.cfg.model.roi_head.mask_head = None


def twice_the_first(content: dict) -> None:
    content["categories"][1]["name"] = content["categories"][0]["name"]


def lacking_first(content: dict) -> None:
    content["categories"][0]["name"] = "somebody"


def absent(content: dict) -> None:
    content["images"].append(dict(id=99, file_name="absent.jpg", height=90, width=120))


def ignored(content: dict) -> None:
    content["annotations"][0].update(category_id=0, ignore=1)


def copied(trial: Trial) -> None:
    path = trial.data / "copy.json"
    path.write_bytes((trial.data / VALIDATION).read_bytes())
    trial.merge({"val_evaluator.ann_file": str(path)})


WRONG = [
    Case(
        "a label that is left out in loading alone",
        every(loaded_otherwise, head_of(3), set_to({"model.auxiliary_head.num_classes": 3})),
        ("has reduce_zero_label=False, and LoadAnnotations of its pipeline True: set both alike",),
    ),
    Case(
        "a class that the annotation file lacks",
        annotations(VALIDATION, lacking_first),
        ("val_dataloader.dataset.metainfo.classes has 'person'", VALIDATION, "somebody, bicycle"),
        "det",
    ),
    Case(
        "a category twice",
        annotations(INSTANCES, twice_the_first),
        (INSTANCES, "the category 'person' more than once"),
        "det",
    ),
    Case(
        "an unknown category",
        of_objects(INSTANCES, lambda item: item.update(category_id=item["category_id"] - 1)),
        (INSTANCES, "3 annotations of category_id 0", "1 person"),
        "det",
    ),
    Case(
        "no object has an area",
        of_objects(INSTANCES, lambda item: item.update(area=0)),
        ("Of 6 annotations", INSTANCES, "all have an area of 0"),
        "det",
    ),
    Case("no area", without("area"), (INSTANCES, "annotation 1 has no area; write"), "det"),
    Case("no height", without("height"), (INSTANCES, "image 0 has no height"), "det"),
    Case(
        "no crowds to evaluate by",
        without("iscrowd", VALIDATION),
        (VALIDATION, "annotation 1 has no iscrowd; write 0"),
        "det",
    ),
    Case(
        "no masks to learn",
        without("segmentation"),
        (INSTANCES, "annotation 1 has no segmentation", "roi_head.mask_head learns masks"),
        "det",
    ),
    Case(
        "a box for a polygon",
        of_objects(VALIDATION, lambda item: item.update(segmentation=[item["bbox"]])),
        (VALIDATION, "annotation 1 has a polygon of 4 numbers", "6 or more"),
        "det",
    ),
    Case(
        "evaluated by another file",
        every(
            annotations(INSTANCES, lambda content: content["images"].pop()),
            lambda trial: trial.merge({"val_evaluator.ann_file": str(trial.data / INSTANCES)}),
        ),
        ("val_evaluator.ann_file=", "has other images than the file that val_dataloader.dataset"),
        "det",
    ),
    Case(
        "categories in another order",
        annotations(INSTANCES, lambda content: content["categories"].reverse()),
        ("metainfo.classes has another order", INSTANCES, "write ('toothbrush', 'hair drier'"),
        "det",
    ),
    Case(
        "boxes of two corners",
        of_objects(INSTANCES, lambda item: item.update(bbox=[40, 40, 110, 80])),
        ("Of 6 annotations", "6 have a box that reaches beyond its image", "width and height"),
        "det",
    ),
    Case(
        "objects of images that are not there",
        of_objects(INSTANCES, lambda item: item.update(image_id=99)),
        ("Of 6 annotations", "all have the image_id of no image"),
        "det",
    ),
    Case(
        "objects outside their images",
        of_objects(INSTANCES, lambda item: item.update(bbox=[-90, 0, 50, 50])),
        ("Of 6 annotations", "all have a box outside its image"),
        "det",
    ),
    Case(
        "an area of nothing",
        of_objects(INSTANCES, lambda item: item.update(area=None)),
        (INSTANCES, "a value that COCO's layout has not", "TypeError"),
        "det",
    ),
    Case(
        "masks are evaluated that nobody predicts",
        without_masks,
        ("val_evaluator.metric", "no mask_head; give metric='bbox'"),
        "det",
    ),
    Case(
        "a metric without its prefix",
        set_to({"default_hooks.checkpoint.save_best": "bbox_mAP"}),
        ("save_best='bbox_mAP'", "write coco/bbox_mAP"),
        "det",
    ),
    Case(
        "too many classes in a detector's head",
        set_to({f"{DET}.bbox_head.num_classes": 81}),
        ("train_dataloader.dataset has 80 classes", "bbox_head.num_classes=81"),
        "det",
    ),
    Case(
        "too many classes in a segmentor's head",
        every(own_classes, head_of(150)),
        ("train_dataloader.dataset has 3 classes", "decode_head.num_classes=150"),
    ),
    Case(
        "a text for a list of classes",
        set_to({f"{TRAIN}.metainfo": dict(classes="wall")}),
        ("metainfo.classes='wall' is a text", "('wall',)"),
    ),
    Case(
        "classes of one's own in a data set that has its own",
        set_to({f"{TRAIN}.metainfo": dict(classes=("wall", "nucleus"))}),
        ("metainfo.classes has 'nucleus'", "ADE20KDataset", "BaseSegDataset"),
    ),
    Case(
        "too few colours",
        every(own_classes, set_to({f"{TRAIN}.metainfo.palette": [[0, 0, 0]]}), head_of(3)),
        ("metainfo.palette has 1 colours for 3 classes",),
    ),
    Case(
        "more colours than mmseg takes",
        every(
            own_classes,
            set_to({f"{TRAIN}.metainfo.palette": 4 * [[0, 0, 0]]}),
            head_of(3),
        ),
        ("metainfo.palette has 4 colours for 3 classes", "_delete_=True"),
    ),
    Case(
        "more classes than a byte holds",
        every(
            own_classes,
            set_to({f"{split}.metainfo.classes": tuple("x" * 300) for split in (TRAIN, VAL)}),
            head_of(300),
        ),
        ("decode_head.num_classes=300", "255 classes are the most"),
    ),
    Case(
        "padding that is no class",
        set_to({f"{SEG}.ignore_index": 0}),
        ("seg_pad_val=255 is not model.decode_head.ignore_index=0, and no class",),
    ),
    Case(
        "too few weights of classes",
        set_to({f"{SEG}.loss_decode.class_weight": [1.0, 2.0]}),
        ("decode_head.loss_decode.class_weight has 2 numbers", "num_classes=150"),
    ),
    Case(
        "weights of classes by sigmoid",
        set_to(
            {f"{SEG}.loss_decode.class_weight": 150 * [1.0], f"{SEG}.loss_decode.use_sigmoid": True}
        ),
        ("decode_head.loss_decode.class_weight", "use_sigmoid=False"),
    ),
    Case(
        "epochs of a sampler that never ends",
        set_to({"train_cfg": EPOCHS}),
        ("EpochBasedTrainLoop", "InfiniteSampler never does", "DefaultSampler"),
    ),
    Case(
        "a batch of one image, pooled to one cell",
        set_to({"train_dataloader.batch_size": 1, f"{SEG}.norm_cfg.type": "BN"}),
        ("train_dataloader.batch_size=1", "BatchNorm of model.decode_head", "GN"),
    ),
    Case(
        "images of two sizes in a batch of the evaluation",
        lambda trial: (
            cv2.imwrite(str(trial.data / "images/validation/1.jpg"), np.zeros((80, 120, 3))),
            trial.merge({"val_dataloader.batch_size": 2}),
            trial.merge({f"{VAL}.pipeline.1.keep_ratio": True}),
        ),
        ("val_dataloader.batch_size=2 needs images of one size", "0.jpg and", "1.jpg are of two"),
    ),
    Case(
        "a wrapper that inherits what a data set has",
        in_wrapper,
        (
            "val_dataloader.dataset of type ConcatDataset has data_prefix, data_root",
            "_delete_=True",
        ),
    ),
    Case(
        "classes of images that nobody tells",
        balanced,
        ("ClassBalancedDataset needs to know", "ADE20KDataset does not tell"),
    ),
    Case(
        "classes of images that a wrapper does not tell",
        aware,
        ("ClassAwareSampler needs to know", "RepeatDataset does not tell"),
        "det",
    ),
]
WORTH_A_LOOK = [
    Case(
        "an image of twelve bits in sixteen",
        lambda trial: (
            cv2.imwrite(
                str(trial.data / "images/training/0.png"), np.full((90, 120, 3), 4000, np.uint16)
            )
            and trial.merge({f"{TRAIN}.img_suffix": ".png"})
        ),
        ("0.png has 16 bits and values up to 4000", "stretch the images first"),
    ),
    Case(
        "one file for training and validation",
        set_to({f"{TRAIN}.ann_file": VALIDATION, f"{TRAIN}.data_prefix.img": "val2017/"}),
        ("the same annotation file", VALIDATION),
        "det",
    ),
    Case(
        "crops larger than what images are padded to",
        set_to({f"{TRAIN}.pipeline.3.crop_size": (96, 64)}),
        ("RandomCrop.crop_size=(96, 64)", "data_preprocessor.size=(64, 64)"),
    ),
    Case(
        "a batch of one image, of which there may be several processes",
        set_to({"train_dataloader.batch_size": 1}),
        ("train_dataloader.batch_size=1", "in one process"),
    ),
    Case(
        "an annotation of id 0",
        of_objects(VALIDATION, lambda item: item.update(id=item["id"] - 1)),
        (VALIDATION, "an annotation of id 0", "count ids from 1"),
        "det",
    ),
    Case(
        "some objects without area",
        of_objects(INSTANCES, lambda item: item.update(area=max(0, item["area"] - 2000))),
        ("Of 6 annotations", "3 have an area of 0 or less"),
        "det",
    ),
]
FINE = [
    Case("as it is", lambda trial: None, ()),
    Case("as it is", lambda trial: None, (), "det"),
    Case("an image that is left out", annotations(INSTANCES, absent), (), "det"),
    Case("a region to ignore", annotations(INSTANCES, ignored), (), "det"),
    Case("evaluated by a copy", copied, (), "det"),
    Case(
        "two classes in one channel, by sigmoid",
        every(
            own_classes,
            set_to({f"{split}.metainfo": dict(classes=("a", "b")) for split in (TRAIN, VAL)}),
            head_of(1, out_channels=1),
            set_to({f"{SEG}.loss_decode.use_sigmoid": True}),
        ),
        (),
    ),
    Case(
        "images of one size in a batch of the evaluation",
        every(set_to({"val_dataloader.batch_size": 2, f"{VAL}.pipeline.1.keep_ratio": True})),
        (),
    ),
    Case(
        "data that have no files",
        set_to(
            {
                "val_dataloader.batch_size": 2,
                "val_dataloader.dataset": dict(_delete_=True, type="mmengine.TensorDataset"),
            }
        ),
        (),
    ),
    Case("padding that is ignored", set_to({"model.data_preprocessor.seg_pad_val": 0}), ()),
]


def found(case: Case, folder: Path) -> list[Finding]:
    trial = new_trial(case.task, folder)
    case.provoke(trial)
    init_default_scope(trial.cfg.default_scope)
    return list(findings_of(Run(trial.cfg, build_model(trial), ("train", "val"))))


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_what_would_make_training_wrong_is_found(case: Case, tmp_path: Path):
    first = next(finding for finding in found(case, tmp_path) if finding.is_wrong)
    expect(case.words, first.sentence)


@pytest.mark.parametrize("case", WORTH_A_LOOK, ids=str)
def test_what_is_worth_a_look_is_found_and_is_not_wrong(case: Case, tmp_path: Path):
    findings = found(case, tmp_path)
    assert findings and not any(finding.is_wrong for finding in findings)
    expect(case.words, findings[0].sentence)


@pytest.mark.parametrize("case", FINE, ids=str)
def test_what_goes_together_is_left_alone(case: Case, tmp_path: Path):
    assert found(case, tmp_path) == []
