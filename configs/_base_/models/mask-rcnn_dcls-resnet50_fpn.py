_base_ = "./mask-rcnn_dcls-convnext_fpn.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="mmdcls.Converted",
        network="ResNet",
        depth=50,
        out_indices=(0, 1, 2, 3),
        # The stem alone: what a stage with fewer elements than cells lacks, it has to learn.
        frozen_stages=0,
        style="pytorch",
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        dcls=dict(
            where=r"layer\d\.\d+\.conv2",
            kernel_size=7,
            kernel_count=5,
            interpolation="bilinear",
            share="stage",
        ),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
