_base_ = "./mask2former_dcls-convnext.py"

classes = dict(num_things_classes=80, num_stuff_classes=0)
model = dict(
    type="Mask2Former",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True,
        mask_pad_value=0,
        batch_augments=[
            dict(
                type="BatchFixedSizePad",
                size=(1024, 1024),
                img_pad_value=0,
                pad_mask=True,
                mask_pad_value=0,
                pad_seg=False,
            )
        ],
    ),
    backbone=_base_.backbone,
    panoptic_head=dict(
        loss_cls=dict(class_weight=[1.0] * 80 + [0.1], **_base_.loss_cls),
        **classes,
        **_base_.head,
    ),
    panoptic_fusion_head=dict(
        type="MaskFormerFusionHead", loss_panoptic=None, init_cfg=None, **classes
    ),
    train_cfg=_base_.head_train_cfg,
    test_cfg=dict(
        panoptic_on=False,
        semantic_on=False,
        instance_on=True,
        max_per_image=100,
        iou_thr=0.8,
        filter_low_score=True,
    ),
)
