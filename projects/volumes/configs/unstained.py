# The cells without their stain, phase contrast alone: nuclei are found after 600 steps, not 120.
_base_ = ["./cells.py"]
model = dict(data_preprocessor=dict(mean=[127], std=[25]), backbone=dict(in_channels=1))
train_dataloader = dict(dataset=dict(channels=[1]))
val_dataloader = dict(dataset=dict(channels=[1]))
test_dataloader = dict(dataset=dict(channels=[1]))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=15),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=15, end=600, eta_min=1e-5),
]
train_cfg = dict(max_iters=600, val_interval=600)
