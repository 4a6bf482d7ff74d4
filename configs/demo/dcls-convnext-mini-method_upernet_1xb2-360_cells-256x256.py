# The training method whole, as on ImageNet: elements start close to the centre, positions learn at
# five times the rate, and after the warm-up a term of the loss keeps elements apart.
_base_ = "./dcls-convnext-mini_upernet_1xb2-360_cells-256x256.py"
model = dict(backbone=dict(initial_spread="normal"))
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, position_lr_mult=5.0))
custom_hooks = [*_base_.custom_hooks, dict(type="mmdcls.Repulsion", begin=20)]
