model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(
        type="ClsDataPreprocessor",
        num_classes=1000,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type="mmdcls.DclsConvNeXt",
        arch="tiny",
        kernel_size=17,
        kernel_count=34,
        interpolation="bilinear",
        drop_path_rate=0.1,
        layer_scale_init_value=1e-6,
        out_indices=(3,),
        # As published: the mean over the map is normalised, not the map.
        gap_before_final_norm=True,
    ),
    head=dict(
        type="LinearClsHead",
        num_classes=1000,
        in_channels=768,
        loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="original"),
        init_cfg=dict(type="TruncNormal", layer="Linear", std=0.02, bias=0.0),
    ),
    train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)]),
)
