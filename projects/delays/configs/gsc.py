# Speech Commands, 35 words, the network of arXiv 2306.17670. One schedule serves both rates,
# where the published one is OneCycle for weights and a cosine for positions.
# Its spectrogram is ours, of 140 bands and 10 ms.
_base_ = "training.py"
model = dict(
    type="delays.DelayNetwork",
    channels=140,
    classes=35,
    hidden=[512, 512, 512],
    kernel_size=31,
    tau=1.5,
    dropout=0.25,
)
dataset = dict(type="delays.SpeechCommands", folder="data/speech_commands")
loader = dict(batch_size=128, num_workers=0, collate_fn=dict(type="delays.whole_batch"))
train_dataloader = dict(
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(part="training", **dataset),
    **loader,
)
val_dataloader = dict(
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(part="validation", **dataset),
    **loader,
)
test_dataloader = dict(
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(part="test", **dataset),
    **loader,
)
epochs = 100
optim_wrapper = dict(optimizer=dict(weight_decay=1e-5), paramwise_cfg=dict(position_lr_mult=20))
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=1)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.04, end=epochs // 4, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", begin=epochs // 4, T_max=epochs - epochs // 4, end=epochs),
]
custom_hooks = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="mmdcls.AnnealSigma", from_width=15.27, to_width=0.5, end=epochs // 4, by_epoch=True),
    dict(type="mmdcls.RoundPositions"),
]
