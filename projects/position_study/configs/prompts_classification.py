_base_ = ["./_base_/classifier.py", "./_base_/prompts.py", "./_base_/training.py"]
model = dict(
    data_preprocessor=dict(mean=[53.6], std=[64.0]),
    backbone=dict(stem_stride=4),
    num_classes=5,
)
