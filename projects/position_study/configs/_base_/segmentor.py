# The backbone of all arms, its reference kernel, and a slim UPerNet without random parts.
default_scope = "mmseg"
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="StudyPreprocessor"),
    backbone=dict(type="StudyConvNeXt", kernel=dict(type="dcls", kernel_size=17)),
    decode_head=dict(
        type="UPerHead",
        in_channels=[16, 32, 64],
        in_index=[0, 1, 2],
        pool_scales=(1, 2, 3, 6),
        channels=32,
        dropout_ratio=0.0,
        norm_cfg=dict(type="GN", num_groups=8),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
val_evaluator = dict(type="ItemIoU")
test_evaluator = val_evaluator
