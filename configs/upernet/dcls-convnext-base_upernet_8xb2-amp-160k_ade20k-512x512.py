_base_ = "./dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"

checkpoint_file = "https://zenodo.org/record/7112021/files/convnext_dcls_base_1k_224_ema.pth"
model = dict(
    backbone=dict(arch="base", kernel_count=40, init_cfg=dict(checkpoint=checkpoint_file)),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=12))
