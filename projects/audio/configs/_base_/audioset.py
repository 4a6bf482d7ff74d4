# AudioSet-2M by the published recipe of DCLS-Audio (arXiv 2309.13972): 10 s at 32 kHz, 128 bands by
# 1001 frames of 10 ms; 60 epochs of batches of 4096, 20 of them warm-up; positions and widths at 5
# times the rate, without weight decay; no clamping.
_base_ = ["./runtime.py"]
root = "data/audioset/"
model = dict(
    type="audio.SoundClassifier",
    multi_label=True,
    data_preprocessor=dict(
        type="audio.SpectrogramPreprocessor",
        features=dict(rate=32000, window=1024, hop=320, bands=128, frequencies=(50, 14000)),
        mean=-18.2696,
        std=30.5735,
        roll=10.0,
        speed=dict(factors=(0.5, 1.5), share=0.5),
        erase=0.25,
        mixup=0.8,
        smoothing=0.1,
    ),
    backbone=dict(
        type="audio.SpectrogramNetwork",
        num_classes=527,
        drop_path_rate=0.4,
        dcls=dict(kernel_size=23, kernel_count=26, interpolation="gaussian"),
    ),
)
dataset = dict(
    type="audio.AudioSet",
    classes=root + "class_labels_indices.csv",
    clips=root + "clips",
    names="Y{id}.wav",
)
train_dataloader = dict(
    batch_size=128,
    num_workers=10,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        segments=[
            root + "unbalanced_train_segments.csv",
            root + "balanced_train_segments.csv",
        ],
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=192,
    num_workers=10,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(segments=root + "eval_segments.csv", **dataset),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="audio.SoundMetric")
test_evaluator = val_evaluator
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=4e-3, weight_decay=0.05),
    constructor="mmdcls.DclsOptimWrapperConstructor",
    paramwise_cfg=dict(position_lr_mult=5.0),
)
by_epoch = dict(by_epoch=True, convert_to_iter_based=True)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=20, **by_epoch),
    dict(type="CosineAnnealingLR", eta_min=1e-6, begin=20, end=60, **by_epoch),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=60, val_interval=1)
custom_hooks = []
# 32 GPUs with 128 clips each.
auto_scale_lr = dict(enable=False, base_batch_size=4096)
