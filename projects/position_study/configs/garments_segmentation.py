_base_ = ["./_base_/segmentor.py", "./_base_/garments.py", "./_base_/training.py"]
model = dict(
    data_preprocessor=dict(mean=[49.7], std=[79.4]),
    decode_head=dict(num_classes=11),
)
