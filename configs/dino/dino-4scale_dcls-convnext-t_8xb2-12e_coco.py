_base_ = [
    "../_base_/models/dino_dcls-convnext.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/mmdet_runtime.py",
]

checkpoint_file = "https://zenodo.org/record/7112021/files/convnext_dcls_tiny_1k_224_ema.pth"
model = dict(backbone=dict(init_cfg=dict(type="mmdcls.Pretrained", checkpoint=checkpoint_file)))
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(_delete_=True, max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        decay_rate=1.0, num_layers=None, custom_keys=dict(backbone=dict(lr_mult=0.1))
    ),
)
param_scheduler = [
    dict(type="MultiStepLR", milestones=[11], gamma=0.1, begin=0, end=12, by_epoch=True)
]
