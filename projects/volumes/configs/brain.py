_base_ = ["./_base_/training.py"]
dataset = dict(type="VolumeDataset", file="data/volumes/brain.npz")
model = dict(
    type="VolumeSegmentor",
    data_preprocessor=dict(type="VolumePreprocessor", mean=[43], std=[77]),
    multiple=(4, 4, 4),
    backbone=dict(
        type="volume_network",
        in_channels=1,
        num_classes=4,
        keep_frames=False,
        kernel=dict(type="dense", kernel_size=3),
    ),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(part="training", crop=(16, 48, 48), flips=(-2,), **dataset),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(part="validation", **dataset),
)
test_dataloader = dict(val_dataloader, dataset=dict(part="test", **dataset))
