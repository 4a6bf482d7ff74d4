# The cells, their stain as it was recorded.
_base_ = ["./cells.py"]
dataset = dict(file="data/volumes/bleached.npz")
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
