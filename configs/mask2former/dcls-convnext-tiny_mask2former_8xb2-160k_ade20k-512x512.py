_base_ = [
    "../_base_/models/mask2former_dcls-convnext_semantic.py",
    "../_base_/datasets/ade20k_short-side.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/mmseg_runtime.py",
]

# mmseg's head is mmdet's, whose parts it names by their registry.
custom_imports = dict(imports=["mmdcls", "mmdet.models"])
checkpoint_file = "https://zenodo.org/record/7112021/files/convnext_dcls_tiny_1k_224_ema.pth"
model = dict(backbone=dict(init_cfg=dict(type="mmdcls.Pretrained", checkpoint=checkpoint_file)))
optim_wrapper = dict(
    type="OptimWrapper",
    clip_grad=dict(_delete_=True, max_norm=0.01, norm_type=2),
    paramwise_cfg=dict(decay_rate=1.0, num_layers=None, custom_keys=_base_.custom_keys),
)
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=0.0, end=160000, by_epoch=False)]
train_cfg = dict(val_interval=5000)
default_hooks = dict(checkpoint=dict(interval=5000, save_best="mIoU"))
