# Task 2: spoken digits, forwards or backwards, by voices that are not in training.
_base_ = "training.py"
model = dict(
    type="delays.DelayNetwork",
    channels=32,
    classes=40,
    hidden=[32],
    kernel_size=15,
    tau=2.0,
    dropout=0.2,
)
dataset = dict(type="delays.ReversedDigits", file="data/delays/digits.npz")
loader = dict(num_workers=0, collate_fn=dict(type="delays.whole_batch"))
train_dataloader = dict(
    batch_size=64,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(part="training", both=False, shift=3, drop=0.1, **dataset),
    **loader,
)
val_dataloader = dict(
    batch_size=500,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(part="validation", both=True, **dataset),
    **loader,
)
test_dataloader = dict(
    batch_size=500,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(part="test", both=True, **dataset),
    **loader,
)
val_evaluator = dict(type="delays.Accuracy", direction=True)
test_evaluator = val_evaluator
epochs = 12
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=4)
param_scheduler = [
    dict(type="CosineAnnealingLR", T_max=epochs, convert_to_iter_based=True),
]
custom_hooks = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="mmdcls.AnnealSigma", from_width=7.27, to_width=0.5, end=epochs // 2, by_epoch=True),
    dict(type="mmdcls.RoundPositions"),
]
