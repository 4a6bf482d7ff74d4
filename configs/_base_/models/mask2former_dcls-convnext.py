# What segmentors and detectors share: the head, in mmdet's terms.
backbone = dict(
    type="mmdcls.DclsConvNeXt",
    arch="tiny",
    kernel_size=17,
    kernel_count=34,
    interpolation="bilinear",
    drop_path_rate=0.3,
    layer_scale_init_value=1.0,
    out_indices=(0, 1, 2, 3),
)
feed_forward = dict(
    embed_dims=256, num_fcs=2, ffn_drop=0.0, act_cfg=dict(type="ReLU", inplace=True)
)
attention = dict(embed_dims=256, num_heads=8, batch_first=True)
position = dict(num_feats=128, normalize=True)
head = dict(
    type="Mask2FormerHead",
    in_channels=[96, 192, 384, 768],
    strides=[4, 8, 16, 32],
    feat_channels=256,
    out_channels=256,
    num_queries=100,
    num_transformer_feat_level=3,
    pixel_decoder=dict(
        type="mmdet.MSDeformAttnPixelDecoder",
        num_outs=3,
        norm_cfg=dict(type="GN", num_groups=32),
        act_cfg=dict(type="ReLU"),
        encoder=dict(
            num_layers=6,
            layer_cfg=dict(
                self_attn_cfg=dict(num_levels=3, num_points=4, dropout=0.0, **attention),
                ffn_cfg=dict(feedforward_channels=1024, **feed_forward),
            ),
        ),
        positional_encoding=position,
    ),
    enforce_decoder_input_project=False,
    positional_encoding=position,
    transformer_decoder=dict(
        return_intermediate=True,
        num_layers=9,
        layer_cfg=dict(
            self_attn_cfg=attention,
            cross_attn_cfg=attention,
            ffn_cfg=dict(feedforward_channels=2048, **feed_forward),
        ),
        init_cfg=None,
    ),
    loss_mask=dict(
        type="mmdet.CrossEntropyLoss", use_sigmoid=True, reduction="mean", loss_weight=5.0
    ),
    loss_dice=dict(
        type="mmdet.DiceLoss",
        use_sigmoid=True,
        activate=True,
        reduction="mean",
        naive_dice=True,
        eps=1.0,
        loss_weight=5.0,
    ),
)
# The last weight is that of queries that find nothing.
loss_cls = dict(type="mmdet.CrossEntropyLoss", use_sigmoid=False, loss_weight=2.0, reduction="mean")
head_train_cfg = dict(
    num_points=12544,
    oversample_ratio=3.0,
    importance_sample_ratio=0.75,
    assigner=dict(
        type="mmdet.HungarianAssigner",
        match_costs=[
            dict(type="mmdet.ClassificationCost", weight=2.0),
            dict(type="mmdet.CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
            dict(type="mmdet.DiceCost", weight=5.0, pred_act=True, eps=1.0),
        ],
    ),
    sampler=dict(type="mmdet.MaskPseudoSampler"),
)
# Of the optimiser: queries and what tells levels apart have no weight decay.
custom_keys = dict(
    backbone=dict(lr_mult=0.1),
    query_embed=dict(decay_mult=0.0),
    query_feat=dict(decay_mult=0.0),
    level_embed=dict(decay_mult=0.0),
)
