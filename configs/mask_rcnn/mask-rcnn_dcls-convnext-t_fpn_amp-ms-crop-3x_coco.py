_base_ = [
    "../_base_/models/mask-rcnn_dcls-convnext_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_3x.py",
    "../_base_/mmdet_runtime.py",
]

optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(decay_rate=0.95))
