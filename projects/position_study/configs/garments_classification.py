_base_ = ["./_base_/classifier.py", "./_base_/garments.py", "./_base_/training.py"]
model = dict(data_preprocessor=dict(mean=[49.7], std=[79.4]), num_classes=10)
labels = dict(dataset=dict(target="labels"))
train_dataloader = labels
val_dataloader = labels
test_dataloader = labels
