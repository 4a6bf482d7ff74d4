# Mosaics and mixtures of images, 640x640; the last epochs see plain images.
_base_ = "./coco_instance.py"
loading = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
]
grey = dict(img=(114, 114, 114))
colours_and_size = [
    dict(type="RandomCrop", crop_size=(640, 640)),
    dict(type="YOLOXHSVRandomAug"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=(640, 640), pad_val=grey),
]
jitter = dict(type="RandomResize", ratio_range=(0.5, 2.0), keep_ratio=True)
train_pipeline = [
    *loading,
    dict(type="CachedMosaic", img_scale=(640, 640), pad_val=114.0),
    dict(jitter, scale=(1280, 1280)),
    *colours_and_size,
    dict(
        type="CachedMixUp",
        img_scale=(640, 640),
        ratio_range=(1.0, 1.0),
        max_cached_images=20,
        pad_val=(114, 114, 114),
    ),
    dict(type="PackDetInputs"),
]
last_pipeline = [
    *loading,
    dict(jitter, scale=(640, 640)),
    *colours_and_size,
    dict(type="PackDetInputs"),
]
test_pipeline = [
    loading[0],
    dict(type="Resize", scale=(640, 640), keep_ratio=True),
    dict(type="Pad", size=(640, 640), pad_val=grey),
    loading[1],
    _base_.test_pipeline[-1],
]
train_dataloader = dict(
    batch_size=32,
    num_workers=10,
    pin_memory=True,
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(batch_size=5, num_workers=10, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric="bbox", proposal_nums=(100, 1, 10))
test_evaluator = val_evaluator
