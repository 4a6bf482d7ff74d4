_base_ = "./dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"

checkpoint_file = "https://zenodo.org/record/8029747/files/convnext_dcls_gauss_tiny_1k_224_ema.pth"
model = dict(
    backbone=dict(
        kernel_size=23,
        kernel_count=26,
        interpolation="gaussian",
        init_cfg=dict(checkpoint=checkpoint_file),
    )
)
