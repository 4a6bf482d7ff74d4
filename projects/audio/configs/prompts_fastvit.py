_base_ = ["./_base_/prompts.py", "./_base_/steps_300.py"]
model = dict(
    backbone=dict(
        type="audio.SpectrogramNetwork",
        network="fastvit",
        num_classes=5,
        depths=(2, 2, 2, 2),
        widths=(16, 32, 64, 64),
        draw="torch",
        layer_scale_init_value=1.0,
        dcls=dict(kernel_size=23, interpolation="gaussian"),
    ),
)
