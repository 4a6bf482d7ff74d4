_base_ = "./cascade-mask-rcnn_dcls-convnext-t_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py"

checkpoint_file = "https://zenodo.org/record/7112021/files/convnext_dcls_small_1k_224_ema.pth"
model = dict(
    backbone=dict(
        arch="small", kernel_count=40, drop_path_rate=0.6, init_cfg=dict(checkpoint=checkpoint_file)
    )
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=12))
