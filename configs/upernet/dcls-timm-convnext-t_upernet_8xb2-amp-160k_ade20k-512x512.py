_base_ = [
    "../_base_/models/upernet_dcls-timm.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/mmseg_runtime.py",
]

optim_wrapper = dict(paramwise_cfg=dict(num_layers=None))
