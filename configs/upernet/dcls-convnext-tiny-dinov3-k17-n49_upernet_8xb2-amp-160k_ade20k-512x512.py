_base_ = "./dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py"

# 49 elements keep all of a dense 7x7 kernel: at the first step the stages compute what DINOv3's do.
# The weights are under the DINOv3 License; README.md says more.
checkpoint_file = (
    "https://huggingface.co/timm/convnext_tiny.dinov3_lvd1689m/resolve/main/model.safetensors"
)
model = dict(backbone=dict(kernel_count=49, init_cfg=dict(checkpoint=checkpoint_file)))
