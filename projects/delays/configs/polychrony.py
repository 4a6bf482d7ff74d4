# Task 1: one layer of synapses with delays, and integrators without memory, learns the true delays.
_base_ = "training.py"
model = dict(
    type="delays.DelayNetwork",
    channels=20,
    classes=10,
    hidden=[],
    kernel_size=25,
    readout="highest",
    # Weights of both signs hide the truth from the delays.
    initial_weight=0.5,
)
loader = dict(num_workers=0, collate_fn=dict(type="delays.whole_batch"))
train_dataloader = dict(
    batch_size=64,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="delays.Polychrony", part="training", seed=0),
    **loader,
)
val_dataloader = dict(
    batch_size=500,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="delays.Polychrony", part="validation", seed=0),
    **loader,
)
test_dataloader = dict(
    batch_size=500,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="delays.Polychrony", part="test", seed=0),
    **loader,
)
epochs = 25
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=5)
param_scheduler = [
    dict(type="CosineAnnealingLR", T_max=epochs, convert_to_iter_based=True),
]
custom_hooks = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="mmdcls.AnnealSigma", from_width=12.27, to_width=0.5, end=12, by_epoch=True),
    dict(type="mmdcls.RoundPositions"),
]
