_base_ = [
    "../_base_/models/upernet_dcls-convnext.py",
    "./_base_/cells.py",
    "./_base_/training.py",
]
default_scope = "mmseg"
visualizer = dict(
    type="SegLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer"
)
default_hooks = dict(visualization=dict(type="SegVisualizationHook"))
widths = [32, 64, 128, 256]
heads = dict(num_classes=3, channels=64, dropout_ratio=0.0, norm_cfg=dict(type="GN", num_groups=8))
# Lovasz-Softmax, a surrogate of IoU, keeps the rare nuclei from being drawn too small.
losses = [
    dict(type="CrossEntropyLoss", loss_weight=1.0),
    dict(type="LovaszLoss", reduction="none", loss_weight=1.0),
]
model = dict(
    data_preprocessor=dict(mean=[87, 99, 106], std=[18, 25, 37], size=(256, 256)),
    backbone=dict(
        arch=dict(_delete_=True, depths=[2, 2, 4, 2], channels=widths),
        drop_path_rate=0.0,
        initial_spread="wide_normal",  # in so few iterations elements stay about where they start
    ),
    decode_head=dict(in_channels=widths, loss_decode=losses, **heads),
    auxiliary_head=dict(in_channels=widths[2], **heads),
    test_cfg=dict(_delete_=True, mode="whole"),
)
