_base_ = "./dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"

model = dict(backbone=dict(arch="small", kernel_count=40, drop_path_rate=0.3))
optim_wrapper = dict(paramwise_cfg=dict(num_layers=12))
