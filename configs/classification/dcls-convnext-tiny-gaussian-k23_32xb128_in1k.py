_base_ = "./dcls-convnext-tiny_32xb128_in1k.py"

model = dict(backbone=dict(kernel_size=23, kernel_count=26, interpolation="gaussian"))
