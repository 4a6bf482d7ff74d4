_base_ = "./cascade-mask-rcnn_dcls-convnext-t_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py"

model = dict(backbone=dict(kernel_size=23, kernel_count=26, interpolation="gaussian"))
