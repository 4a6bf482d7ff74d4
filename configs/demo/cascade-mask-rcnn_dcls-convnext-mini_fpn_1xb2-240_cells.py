_base_ = [
    "./_base_/cascade-mask-rcnn_slim.py",
    "./_base_/cells_instance.py",
    "./_base_/training.py",
]
default_scope = "mmdet"
visualizer = dict(
    type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer"
)
default_hooks = dict(visualization=dict(type="DetVisualizationHook"), checkpoint=dict(interval=240))
train_cfg = dict(max_iters=240, val_interval=80)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=20, end=240, eta_min=1e-5),
]
