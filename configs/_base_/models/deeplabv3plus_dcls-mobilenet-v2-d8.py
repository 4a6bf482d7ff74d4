_base_ = "./upernet_dcls-convnext.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="mmdcls.Converted",
        network="MobileNetV2",
        widen_factor=1.0,
        strides=(1, 2, 2, 1, 1, 1, 1),
        dilations=(1, 1, 1, 2, 2, 4, 4),
        out_indices=(1, 2, 4, 6),
        norm_cfg=_base_.norm_cfg,
        # In place of a dilated kernel comes a larger one: 9x9 of dilation 2, 13x13 of 4.
        dcls=dict(
            where=r"layer\d\.\d+\.conv\.\d\.conv",
            where_depthwise=True,
            kernel_size=7,
            kernel_count="neutral",
            interpolation="bilinear",
            share="stage",
        ),
    ),
    decode_head=dict(
        _delete_=True,
        type="DepthwiseSeparableASPPHead",
        in_channels=320,
        in_index=3,
        c1_in_channels=24,
        c1_channels=48,
        channels=512,
        dilations=(1, 12, 24, 36),
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=_base_.norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(in_channels=96),
    test_cfg=dict(_delete_=True, mode="whole"),
)
