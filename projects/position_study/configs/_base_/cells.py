dataset = dict(type="ArrayDataset", file="data/position_study/cells.npz", target="maps")
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(part="training", crop=(160, 160), flips=(-1, -2), **dataset),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(part="validation", **dataset),
)
test_dataloader = dict(val_dataloader, dataset=dict(part="test", **dataset))
