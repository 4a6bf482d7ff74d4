# The published detector with 64 channels in its heads, in training fewer proposals and samples, and
# one sample in each bin of a region: with two, RoIAlign took almost a third of a step on CPU.
_base_ = "../../_base_/models/cascade-mask-rcnn_dcls-convnext_fpn.py"
widths = [32, 64, 128, 256]
norm_cfg = dict(type="GN", num_groups=8)
slim = dict(num_classes=2, in_channels=64, conv_out_channels=64, norm_cfg=norm_cfg)
bbox_heads, stages = [], []
for head in _base_.model.roi_head.bbox_head:
    bbox_heads.append(dict(head, num_shared_convs=2, fc_out_channels=256, **slim))
for stage in _base_.model.train_cfg.rcnn:
    stages.append(dict(stage, sampler=dict(stage["sampler"], num=128)))
del head, stage
roi_extractor = dict(roi_layer=dict(sampling_ratio=1), out_channels=64)
model = dict(
    data_preprocessor=dict(mean=[87, 99, 106], std=[18, 25, 37]),
    backbone=dict(
        arch=dict(_delete_=True, depths=[2, 2, 4, 2], channels=widths),
        drop_path_rate=0.0,
        initial_spread="wide_normal",
    ),
    neck=dict(in_channels=widths, out_channels=64),
    # A nucleus is 24 pixels wide here, six cells of the finest map.
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[6])),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        bbox_head=bbox_heads,
        mask_roi_extractor=roi_extractor,
        mask_head=slim,
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=stages),
    # With 300 proposals in place of the published 1000, a tenth to a third of the nuclei had none.
    test_cfg=dict(rcnn=dict(max_per_img=200)),
)
