_base_ = "./upernet_dcls-convnext.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="mmdcls.Converted",
        network="ResNetV1c",
        depth=50,
        out_indices=(0, 1, 2, 3),
        strides=(1, 2, 2, 2),
        dilations=(1, 1, 1, 1),
        contract_dilation=True,
        style="pytorch",
        norm_cfg=_base_.norm_cfg,
        norm_eval=False,
        dcls=dict(
            where=r"layer\d\.\d+\.conv2",
            kernel_size=7,
            kernel_count=5,
            interpolation="bilinear",
            share="stage",
        ),
    ),
    decode_head=dict(in_channels=[256, 512, 1024, 2048]),
    auxiliary_head=dict(in_channels=1024),
)
