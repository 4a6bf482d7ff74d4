# The method's own: positions learn at 5 times the rate.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    clip_grad=None,
    constructor="mmdcls.DclsOptimWrapperConstructor",
    paramwise_cfg=dict(position_lr_mult=5.0),
)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=1e-6,
        begin=0,
        end=20,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min=1e-6,
        begin=20,
        end=300,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=300, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
# 32 GPUs with 128 images each.
auto_scale_lr = dict(enable=False, base_batch_size=4096)
