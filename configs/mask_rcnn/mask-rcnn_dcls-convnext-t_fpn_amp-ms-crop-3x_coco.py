_base_ = [
    "../_base_/models/mask-rcnn_dcls-convnext_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_3x.py",
    "../_base_/mmdet_runtime.py",
]

checkpoint_file = "https://zenodo.org/record/7112021/files/convnext_dcls_tiny_1k_224_ema.pth"
model = dict(backbone=dict(init_cfg=dict(type="mmdcls.Pretrained", checkpoint=checkpoint_file)))

optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(decay_rate=0.95))
