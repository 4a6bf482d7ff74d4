_base_ = [
    "../_base_/models/dcls-convnext_classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/schedule_300e.py",
    "../_base_/mmpretrain_runtime.py",
]
