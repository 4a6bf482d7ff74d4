_base_ = [
    "../_base_/models/upernet_dcls-resnet50-v1c.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/mmseg_runtime.py",
]

checkpoint_file = "open-mmlab://resnet50_v1c"
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint_file)))
# mmseg's ResNet does not say how deep a parameter lies.
optim_wrapper = dict(paramwise_cfg=dict(decay_rate=1.0, num_layers=None))
