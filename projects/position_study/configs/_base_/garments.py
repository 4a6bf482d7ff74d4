dataset = dict(type="ArrayDataset", file="data/position_study/garments.npz", target="maps")
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(part="training", flips=(-1,), **dataset),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(part="validation", **dataset),
)
test_dataloader = dict(val_dataloader, dataset=dict(part="test", **dataset))
