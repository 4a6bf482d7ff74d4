_base_ = [
    "../_base_/models/segnext_dcls-mscan.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/mmseg_runtime.py",
]

checkpoint_file = "https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segnext/mscan_t_20230227-119e8c9f.pth"  # noqa: E501
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint_file)))
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(decay_rate=1.0, num_layers=None, custom_keys=dict(head=dict(lr_mult=10.0))),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=1500, by_epoch=False),
    dict(type="PolyLR", power=1.0, eta_min=0.0, begin=1500, end=160000, by_epoch=False),
]
