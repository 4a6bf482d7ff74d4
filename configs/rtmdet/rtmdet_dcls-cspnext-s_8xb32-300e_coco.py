_base_ = [
    "../_base_/models/rtmdet_dcls-cspnext.py",
    "../_base_/datasets/coco_detection_mosaic.py",
    "../_base_/schedules/schedule_mosaic-300e.py",
    "../_base_/mmdet_runtime.py",
]

checkpoint_file = "https://download.openmmlab.com/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain/cspnext-s_imagenet_600e.pth"  # noqa: E501
model = dict(backbone=dict(init_cfg=dict(type="mmdcls.Pretrained", checkpoint=checkpoint_file)))
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=3))
custom_hooks = [
    *_base_.custom_hooks,
    # Positions are clamped before.
    dict(
        type="EMAHook",
        ema_type="ExpMomentumEMA",
        momentum=0.0002,
        update_buffers=True,
        priority=49,
    ),
    dict(type="PipelineSwitchHook", switch_epoch=280, switch_pipeline=_base_.last_pipeline),
]
