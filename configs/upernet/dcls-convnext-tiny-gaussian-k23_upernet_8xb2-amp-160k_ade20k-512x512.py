_base_ = "./dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"

model = dict(backbone=dict(kernel_size=23, kernel_count=26, interpolation="gaussian"))
