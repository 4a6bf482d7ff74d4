optim_wrapper = dict(
    type="AmpOptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-4, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=None,
    constructor="mmdcls.DclsOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.7, decay_type="layer_wise", num_layers=6, position_lr_mult=1.0),
)
# mmengine takes one step less than from begin to end: 500, as published.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, begin=0, end=501, by_epoch=False),
    dict(type="MultiStepLR", milestones=[27, 33], gamma=0.1, begin=0, end=36, by_epoch=True),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=36, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
# 8 GPUs with 2 images each.
auto_scale_lr = dict(enable=False, base_batch_size=16)
