# A layer on a graph whose positions are distances in hops; see truths.py.
train_dataloader = dict(side=10, cut=0.2, hops=[5], batch_size=64)
model = dict(kernel_size=13, delays="learned")
optim_wrapper = dict(lr=0.05, position_lr=0.1)
train_cfg = dict(max_iters=600)
