_base_ = [
    "../_base_/models/upernet_dcls-timm.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/mmseg_runtime.py",
]

model = dict(
    backbone=dict(
        model_name="fastvit_sa24.apple_in1k",
        dcls=dict(where=r".*(\.mlp\.conv\.conv|\.pos_enc)", kernel_count=34),
    ),
    decode_head=dict(in_channels=[64, 128, 256, 512]),
    auxiliary_head=dict(in_channels=256),
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=None))
