# Japanese vowels: whose voice it is. Real and small, and it does not tell
# learned delays from random ones.
_base_ = "training.py"
model = dict(
    type="delays.DelayNetwork",
    channels=12,
    classes=9,
    hidden=[32],
    kernel_size=11,
    tau=2.0,
    dropout=0.2,
)
dataset = dict(type="delays.Vowels", file="data/delays/vowels.npz")
loader = dict(num_workers=0, collate_fn=dict(type="delays.whole_batch"))
train_dataloader = dict(
    batch_size=32,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(part="training", **dataset),
    **loader,
)
val_dataloader = dict(
    batch_size=500,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(part="validation", **dataset),
    **loader,
)
test_dataloader = dict(
    batch_size=500,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(part="test", **dataset),
    **loader,
)
epochs = 60
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=10)
param_scheduler = [
    dict(type="CosineAnnealingLR", T_max=epochs, convert_to_iter_based=True),
]
custom_hooks = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="mmdcls.AnnealSigma", from_width=5.27, to_width=0.5, end=epochs // 2, by_epoch=True),
    dict(type="mmdcls.RoundPositions"),
]
