_base_ = "./_base_/audioset.py"
model = dict(backbone=dict(network="convnext"))
