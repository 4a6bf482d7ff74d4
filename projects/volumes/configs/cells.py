_base_ = ["./_base_/training.py"]
dataset = dict(type="VolumeDataset", file="data/volumes/cells.npz")
model = dict(
    type="VolumeSegmentor",
    data_preprocessor=dict(type="VolumePreprocessor", mean=[28, 127], std=[56, 25]),
    multiple=(1, 4, 4),
    backbone=dict(
        type="volume_network",
        in_channels=2,
        num_classes=3,
        keep_frames=True,
        kernel=dict(type="dense", kernel_size=3),
    ),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(part="training", crop=(10, 64, 64), flips=(-1, -2, -3), **dataset),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(part="validation", **dataset),
)
test_dataloader = dict(val_dataloader, dataset=dict(part="test", **dataset))
