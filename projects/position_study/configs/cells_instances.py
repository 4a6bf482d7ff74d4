# On CPU only: mmcv's compiled operators.
_base_ = [
    "../../../configs/demo/_base_/cascade-mask-rcnn_slim.py",
    "../../../configs/demo/_base_/cells_instance.py",
    "./_base_/training.py",
]
default_scope = "mmdet"
widths = [16, 32, 64, 128]
model = dict(
    data_preprocessor=dict(mean=[87, 101, 109], std=[17, 24, 38]),
    backbone=dict(
        _delete_=True,
        type="StudyConvNeXt",
        kernel=dict(type="dcls", kernel_size=17),
        in_channels=3,
        widths=widths,
        depths=[2, 2, 2, 2],
        stem_stride=4,
        out_indices=(0, 1, 2, 3),
    ),
    neck=dict(in_channels=widths),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
data_root = "data/position_study/cells_instances/"
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_test.json",
        data_prefix=dict(img="images/test/"),
    )
)
val_evaluator = dict(ann_file=data_root + "annotations/instances_validation.json")
test_evaluator = dict(ann_file=data_root + "annotations/instances_test.json")
train_cfg = dict(max_iters=300, val_interval=300)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=20, end=300, eta_min=1e-5),
]
