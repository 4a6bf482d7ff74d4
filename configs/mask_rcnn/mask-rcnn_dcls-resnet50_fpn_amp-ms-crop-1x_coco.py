_base_ = [
    "../_base_/models/mask-rcnn_dcls-resnet50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/mmdet_runtime.py",
]

checkpoint_file = "https://download.pytorch.org/models/resnet50-0676ba61.pth"
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint_file)))
# mmdet's ResNet does not say how deep a parameter lies.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(decay_rate=1.0, num_layers=None),
)
