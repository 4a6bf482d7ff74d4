_base_ = [
    "../_base_/models/deeplabv3plus_dcls-mobilenet-v2-d8.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/mmseg_runtime.py",
]

checkpoint_file = "mmcls://mobilenet_v2"
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint_file)))
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(_delete_=True, type="SGD", lr=0.01, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(decay_rate=1.0, num_layers=None),
)
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=1e-4, end=160000, by_epoch=False)]
