_base_ = "./dcls-convnext-tiny_32xb128_in1k.py"

model = dict(
    backbone=dict(arch="base", kernel_count=40, drop_path_rate=0.5),
    head=dict(in_channels=1024),
)
