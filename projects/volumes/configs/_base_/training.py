# 120 steps of AdamW with warm-up and cosine; one validation, after the last.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-3, weight_decay=0.05),
    constructor="mmdcls.DclsOptimWrapperConstructor",
    paramwise_cfg=dict(position_lr_mult=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=15),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=15, end=120, eta_min=1e-5),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=120, val_interval=120)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
val_evaluator = dict(type="ItemIoU")
test_evaluator = val_evaluator
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="mmdcls.CheckpointHook", by_epoch=False, interval=120, max_keep_ckpts=1),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_imports = dict(
    imports=["mmdcls", "projects.position_study.position_study", "projects.volumes.volumes"]
)
custom_hooks = [dict(type="mmdcls.ClampPositions")]
default_scope = "mmengine"
env_cfg = dict(mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
log_processor = dict(by_epoch=False, window_size=20)
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
