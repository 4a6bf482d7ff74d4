_base_ = [
    "../_base_/models/upernet_dcls-timm.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/schedule_160k.py",
    "../_base_/mmseg_runtime.py",
]

strips = r".*\.token_mixer\.dwconv_[wh]"
square = r".*\.token_mixer\.dwconv_hw"
model = dict(
    backbone=dict(
        model_name="inception_next_tiny.sail_in1k",
        dcls=[
            dict(where=strips, kernel_size=23, kernel_count="neutral", start="dense"),
            dict(where=square, kernel_size=7, kernel_count="neutral", start="dense"),
        ],
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=None))
