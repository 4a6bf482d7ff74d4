_base_ = [
    "../_base_/models/cascade-mask-rcnn_dcls-convnext_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/schedule_3x.py",
    "../_base_/mmdet_runtime.py",
]

checkpoint_file = "https://zenodo.org/record/7112021/files/convnext_dcls_tiny_1k_224_ema.pth"
model = dict(backbone=dict(init_cfg=dict(type="mmdcls.Pretrained", checkpoint=checkpoint_file)))
