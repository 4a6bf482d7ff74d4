_base_ = [
    "../_base_/models/upernet_dcls-timm.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/mmseg_runtime.py",
]

model = dict(
    backbone=dict(
        model_name="convformer_s18.sail_in1k",
        dcls=dict(where=r".*\.token_mixer\.dwconv", kernel_count=40),
    ),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
    auxiliary_head=dict(in_channels=320),
)
# timm does not say how deep a parameter of a MetaFormer lies.
optim_wrapper = dict(paramwise_cfg=dict(decay_rate=1.0, num_layers=None))
