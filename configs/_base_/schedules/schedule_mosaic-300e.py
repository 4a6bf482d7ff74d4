# The rate is flat for half of the training, and what is validated is an average of the weights.
_base_ = "./schedule_3x.py"

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(lr=4e-3),
    paramwise_cfg=dict(decay_rate=1.0, num_layers=None),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-5, begin=0, end=1000, by_epoch=False),
    dict(
        type="CosineAnnealingLR",
        eta_min=2e-4,
        begin=150,
        end=300,
        T_max=150,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=300, val_interval=10, dynamic_intervals=[(280, 1)])
# 8 GPUs with 32 images each.
auto_scale_lr = dict(base_batch_size=256)
