dataset = dict(type="ArrayDataset", file="data/position_study/prompts.npz", target="labels")
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(part="training", roll=20, blank=dict(rows=8, columns=20), **dataset),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(part="validation", **dataset),
)
test_dataloader = dict(val_dataloader, dataset=dict(part="test", **dataset))
