# What all trainings of the project have in common: positions at a rate of their own, widths from
# half of the kernel to half a step within half of the epochs, whole delays in evaluations.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=5e-3),
    constructor="mmdcls.DclsOptimWrapperConstructor",
    paramwise_cfg=dict(position_lr_mult=60),
)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
val_evaluator = dict(type="delays.Accuracy")
test_evaluator = val_evaluator
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=20),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=1),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_imports = dict(imports=["projects.delays.delays"])
default_scope = "mmengine"
log_processor = dict(window_size=20)
randomness = dict(seed=0)
