# The cells with Dcls3d, bilinear, as the study has it.
_base_ = ["./cells.py"]
kernel = dict(_delete_=True, type="dcls", kernel_size=(5, 9, 9), kernel_count=12)
model = dict(backbone=dict(kernel=kernel))
optim_wrapper = dict(optimizer=dict(lr=1e-2))
