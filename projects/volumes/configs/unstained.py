# The cells without their stain: phase contrast alone.
_base_ = ["./cells.py"]
model = dict(data_preprocessor=dict(mean=[127], std=[25]), backbone=dict(in_channels=1))
train_dataloader = dict(dataset=dict(channels=[1]))
val_dataloader = dict(dataset=dict(channels=[1]))
test_dataloader = dict(dataset=dict(channels=[1]))
