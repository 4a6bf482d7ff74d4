# Lets Inferencers load what a Runner wrote: they open the checkpoint before they build the model.
custom_imports = dict(imports=["mmdcls"])
custom_hooks = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="mmdcls.StopOnNonFinite"),
    dict(type="mmdcls.PositionHealth"),
]
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
vis_backends = [dict(type="LocalVisBackend")]
log_level = "INFO"
load_from = None
resume = False
