# CKCNN of 98 thousand parameters on MNIST's digits as sequences of 784 pixels. As published but for
# batches of 32 and the length of the training, which has a cosine in place of a plateau, and no L2
# norm of kernels.
dataset = dict(type="ArrayDataset", file="data/kernel_makers/digits.npz", target="labels")
model = dict(
    type="StudyClassifier",
    data_preprocessor=dict(type="StudyPreprocessor", mean=[33.3], std=[78.6]),
    backbone=dict(type="Ckcnn", width=30, depth=2, dropout=0.1, omega_0=31.1),
    in_channels=30,
    num_classes=10,
)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(part="training", **dataset),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(part="validation", **dataset),
)
test_dataloader = dict(val_dataloader, dataset=dict(part="test", **dataset))
val_evaluator = dict(type="ItemAccuracy")
test_evaluator = val_evaluator
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=800, eta_min=1e-5)]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=800, val_interval=800)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=100, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=None,
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_imports = dict(
    imports=[
        "projects.kernel_makers.kernel_makers",
        "projects.position_study.position_study",
    ]
)
default_scope = "mmengine"
log_processor = dict(by_epoch=False, window_size=20)
randomness = dict(seed=0)
