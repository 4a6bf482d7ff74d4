# A recurrent network with one learned delay, on the Mackey-Glass series; see truths.py.
train_dataloader = dict(tau=17, batch_size=64, steps=16)
model = dict(kernel_size=41, hidden=32, delays="learned")
optim_wrapper = dict(lr=3e-3, position_lr=0.1)
train_cfg = dict(max_iters=1500)
