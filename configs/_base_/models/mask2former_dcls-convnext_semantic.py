_base_ = "./mask2former_dcls-convnext.py"

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
        pad_val=0,
        seg_pad_val=255,
        test_cfg=dict(size_divisor=32),
    ),
    backbone=_base_.backbone,
    decode_head=dict(
        num_classes=150,
        align_corners=False,
        loss_cls=dict(class_weight=[1.0] * 150 + [0.1], **_base_.loss_cls),
        train_cfg=_base_.head_train_cfg,
        **_base_.head,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
