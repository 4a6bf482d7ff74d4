# Spoken prompts of 2 s in five languages; pictures of 64 bands by 200 frames of 10 ms.
rate = 8000
model = dict(
    type="audio.SoundClassifier",
    data_preprocessor=dict(
        type="audio.SpectrogramPreprocessor",
        # Padding is digital silence, which without a floor would take most of the range.
        features=dict(
            rate=rate,
            window=256,
            bins=512,
            hop=80,
            bands=64,
            frequencies=(50, 3800),
            decibels=60.0,
        ),
        mean=-47.4,
        std=15.0,
        roll=0.2,
        erase=0.25,
    ),
)
dataset = dict(
    type="audio.ClipFolder",
    table="data/audio/prompts/labels.csv",
    rate=rate,
    seconds=2.0,
    in_memory=True,
)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(part="training", **dataset),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(part="validation", **dataset),
)
test_dataloader = dict(val_dataloader, dataset=dict(part="test", **dataset))
val_evaluator = dict(type="audio.SoundMetric")
test_evaluator = val_evaluator
