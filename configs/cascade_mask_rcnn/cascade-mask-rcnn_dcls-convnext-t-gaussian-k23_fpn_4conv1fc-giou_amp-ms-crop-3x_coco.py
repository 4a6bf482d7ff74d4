_base_ = "./cascade-mask-rcnn_dcls-convnext-t_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py"

checkpoint_file = "https://zenodo.org/record/8029747/files/convnext_dcls_gauss_tiny_1k_224_ema.pth"
model = dict(
    backbone=dict(
        kernel_size=23,
        kernel_count=26,
        interpolation="gaussian",
        init_cfg=dict(checkpoint=checkpoint_file),
    )
)
