from torch.optim import Optimizer

from .registry import OPTIMIZERS


@OPTIMIZERS.register_module(name="Lamb")
def lamb(params, **options) -> Optimizer:
    """timm's LAMB, by which the published ConvFormer was trained."""
    from timm.optim import Lamb

    return Lamb(params, **options)
