# What both tasks share; a leaf adds its scope and its visualizer.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.05),
    constructor="mmdcls.DclsOptimWrapperConstructor",
    # Kernel radii. With the method's rate elements could go a quarter of one in so few iterations.
    paramwise_cfg=dict(position_travel=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=20, end=360, eta_min=1e-5),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=360, val_interval=90)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="mmdcls.CheckpointHook", by_epoch=False, interval=360),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
# Lets Inferencers load what a Runner wrote: they open the checkpoint before they build the model.
custom_imports = dict(imports=["mmdcls"])
custom_hooks = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="mmdcls.PositionTravel"),
    dict(type="mmdcls.StopOnNonFinite"),
    dict(type="mmdcls.PositionHealth", interval=60, picture_interval=120),
]
env_cfg = dict(mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
log_processor = dict(by_epoch=False, window_size=20)
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
