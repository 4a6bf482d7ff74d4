_base_ = "./cascade-mask-rcnn_dcls-convnext-t_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py"

checkpoint_file = "https://zenodo.org/record/7112021/files/convnext_dcls_base_1k_224_ema.pth"
model = dict(
    backbone=dict(
        arch="base", kernel_count=40, drop_path_rate=0.7, init_cfg=dict(checkpoint=checkpoint_file)
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.8, num_layers=12))
