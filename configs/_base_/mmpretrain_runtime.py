_base_ = "./runtime.py"
default_scope = "mmpretrain"
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=100),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="mmdcls.CheckpointHook", interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="VisualizationHook", enable=False),
)
# The published weights are the averages. Positions are clamped before they are averaged.
custom_hooks = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="EMAHook", momentum=1e-4),
]
env_cfg = dict(cudnn_benchmark=True)
visualizer = dict(type="UniversalVisualizer", vis_backends=_base_.vis_backends, name="visualizer")
