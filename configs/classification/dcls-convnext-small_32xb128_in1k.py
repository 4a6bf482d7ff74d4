_base_ = "./dcls-convnext-tiny_32xb128_in1k.py"

model = dict(backbone=dict(arch="small", kernel_count=40, drop_path_rate=0.4))
