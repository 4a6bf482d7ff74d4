# A network that draws one kernel of 101 cells, fitted to a function by its squared error.
model = dict(maker="sine", hidden=32)
train_dataloader = dict(function="step", cells=101)
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-3))
train_cfg = dict(max_iters=1000)
