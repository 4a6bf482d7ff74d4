# timm loads its weights while the network is built; the DCLS layers start from them.
_base_ = "./upernet_dcls-convnext.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="mmdcls.Converted",
        network="TIMMBackbone",
        model_name="convnext_tiny.fb_in1k",
        pretrained=True,
        features_only=True,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.4,
        dcls=dict(
            where=r".*\.conv_dw",
            kernel_size=17,
            kernel_count=34,
            interpolation="bilinear",
            share="stage",
            start="dense",
        ),
    ),
)
