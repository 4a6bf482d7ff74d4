_base_ = "./_base_/audioset.py"
model = dict(backbone=dict(network="convformer"))
# Two steps of 64 clips to a step of the optimiser.
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(type="audio.Lamb"), accumulative_counts=2)
