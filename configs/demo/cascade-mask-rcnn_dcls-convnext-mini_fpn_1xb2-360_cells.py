_base_ = [
    "./_base_/cascade-mask-rcnn_slim.py",
    "./_base_/cells_instance.py",
    "./_base_/training.py",
]
default_scope = "mmdet"
visualizer = dict(type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])
default_hooks = dict(visualization=dict(type="DetVisualizationHook"))
