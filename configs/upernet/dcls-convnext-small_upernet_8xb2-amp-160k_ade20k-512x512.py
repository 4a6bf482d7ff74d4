_base_ = "./dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"

checkpoint_file = "https://zenodo.org/record/7112021/files/convnext_dcls_small_1k_224_ema.pth"
model = dict(
    backbone=dict(
        arch="small", kernel_count=40, drop_path_rate=0.3, init_cfg=dict(checkpoint=checkpoint_file)
    )
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=12))
