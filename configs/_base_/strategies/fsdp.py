# To add to the _base_ of a config: each process keeps a piece of the parameters, of their gradients
# and of the optimiser's state, and its checkpoints are those of any other run.
runner_type = "FlexibleRunner"
strategy = dict(type="mmdcls.FSDPStrategy")
