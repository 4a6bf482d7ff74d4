_base_ = "./_base_/audioset.py"
# The published script gives every network this layer scale.
model = dict(backbone=dict(network="fastvit", layer_scale_init_value=1e-6))
