# The training method whole, as on ImageNet: the rate of positions times five, and after the warm-up
# a term of the loss that keeps elements apart.
_base_ = "./dcls-convnext-mini_upernet_1xb2-360_cells-256x256.py"
optim_wrapper = dict(paramwise_cfg=dict(position_lr_mult=5.0))
custom_hooks = [*_base_.custom_hooks, dict(type="mmdcls.Repulsion", begin=20)]
