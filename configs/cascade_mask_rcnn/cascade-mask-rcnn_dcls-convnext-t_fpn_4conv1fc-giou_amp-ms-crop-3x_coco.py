_base_ = [
    "../_base_/models/cascade-mask-rcnn_dcls-convnext_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_3x.py",
    "../_base_/mmdet_runtime.py",
]
