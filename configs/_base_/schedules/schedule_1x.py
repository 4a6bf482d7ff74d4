_base_ = "./schedule_3x.py"

param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, begin=0, end=501, by_epoch=False),
    dict(type="MultiStepLR", milestones=[8, 11], gamma=0.1, begin=0, end=12, by_epoch=True),
]
train_cfg = dict(max_epochs=12)
