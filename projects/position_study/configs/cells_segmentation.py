_base_ = ["./_base_/segmentor.py", "./_base_/cells.py", "./_base_/training.py"]
model = dict(
    data_preprocessor=dict(mean=[87, 101, 109], std=[17, 24, 38]),
    backbone=dict(in_channels=3),
    decode_head=dict(num_classes=3),
)
optim_wrapper = dict(optimizer=dict(lr=8e-3))
