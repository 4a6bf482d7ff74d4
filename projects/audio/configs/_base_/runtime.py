default_scope = "mmengine"
custom_imports = dict(imports=["mmdcls", "projects.audio.audio"])
custom_hooks = [dict(type="mmdcls.ClampPositions")]
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="mmdcls.CheckpointHook", interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
env_cfg = dict(mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
