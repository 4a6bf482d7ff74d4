_base_ = ["./_base_/segmentor.py", "./_base_/garments.py", "./_base_/training.py"]
model = dict(
    data_preprocessor=dict(mean=[49.7], std=[79.4]),
    decode_head=dict(num_classes=11),
)
# Of 1e-3, 4e-3 and 8e-3 the best with dense kernels, by the validation part.
optim_wrapper = dict(optimizer=dict(lr=8e-3))
