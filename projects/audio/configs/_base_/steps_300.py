# 300 steps of AdamW with warm-up and cosine; one validation and one checkpoint, after the last.
_base_ = ["./runtime.py"]
steps = 300
warm_up = 50
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=4e-3, weight_decay=0.05),
    constructor="mmdcls.DclsOptimWrapperConstructor",
    paramwise_cfg=dict(position_lr_mult=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warm_up),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=warm_up, end=steps, eta_min=1e-5),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=steps, val_interval=steps)
default_hooks = dict(
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=steps),
)
log_processor = dict(by_epoch=False, window_size=20)
