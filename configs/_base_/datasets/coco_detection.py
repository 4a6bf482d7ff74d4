# Boxes alone, images without any as well, and nothing limits the long side before a crop.
_base_ = "./coco_instance.py"
boxes = dict(type="LoadAnnotations", with_bbox=True)
resized, cropped = _base_.train_pipeline[3].transforms
cropped = [dict(cropped[0], scales=[(side, 4200) for side in (400, 500, 600)]), *cropped[1:]]
train_pipeline = [
    dict(type="LoadImageFromFile"),
    boxes,
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomChoice", transforms=[resized, cropped]),
    dict(type="PackDetInputs"),
]
del resized, cropped
test_pipeline = [*_base_.test_pipeline[:2], boxes, _base_.test_pipeline[3]]
train_dataloader = dict(
    dataset=dict(filter_cfg=dict(filter_empty_gt=False), pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric="bbox")
test_evaluator = val_evaluator
