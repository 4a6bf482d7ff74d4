_base_ = [
    "../_base_/models/mask2former_dcls-convnext_instance.py",
    "../_base_/datasets/coco_instance_lsj.py",
    "../_base_/schedules/schedule_3x.py",
    "../_base_/mmdet_runtime.py",
]

checkpoint_file = "https://zenodo.org/record/7112021/files/convnext_dcls_tiny_1k_224_ema.pth"
model = dict(backbone=dict(init_cfg=dict(type="mmdcls.Pretrained", checkpoint=checkpoint_file)))
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(lr=1e-4),
    clip_grad=dict(_delete_=True, max_norm=0.01, norm_type=2),
    paramwise_cfg=dict(decay_rate=1.0, num_layers=None, custom_keys=_base_.custom_keys),
)
iterations = 368750
param_scheduler = [
    dict(type="MultiStepLR", milestones=[327778, 355092], gamma=0.1, end=iterations, by_epoch=False)
]
# The last validation but one is at 365000, the last at the end.
train_cfg = dict(
    _delete_=True,
    type="IterBasedTrainLoop",
    max_iters=iterations,
    val_interval=5000,
    dynamic_intervals=[(365001, iterations)],
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000, max_keep_ckpts=3))
log_processor = dict(by_epoch=False)
