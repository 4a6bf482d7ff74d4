"""The demo's segmentor with the whole method: positions at five times the rate, kept apart."""

_base_ = "./dcls-convnext-mini_upernet_1xb2-360_cells-256x256.py"
optim_wrapper = dict(paramwise_cfg=dict(position_lr_mult=5.0))
# A list replaces the list it inherits.
custom_hooks = [
    dict(type="mmdcls.ClampPositions"),
    dict(type="mmdcls.Repulsion", weight=1.0),
]
