"""Two models with one DCLS layer in eval, and what they must compute."""

from torch import Tensor, nn
from torch.func import functional_call

from helpers.cases import draw_layer
from mmdcls.dcls import ElementPositions, construct_kernel


class OwnPositions(nn.Module):
    """A layer with positions of its own, in eval."""

    def __init__(self, axes: int = 2, interpolation: str = "gaussian") -> None:
        super().__init__()
        self.layer = draw_layer(axes, groups=4, interpolation=interpolation)
        self.owner = self.layer
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class SharedPositions(OwnPositions):
    """A layer that is handed the shares of another module, in eval."""

    def __init__(self, axes: int = 2, interpolation: str = "gaussian") -> None:
        super().__init__(axes, interpolation)
        own = self.layer
        self.layer = draw_layer(axes, groups=4, interpolation=interpolation, share_positions=True)
        self.owner = ElementPositions(own.kernel_size, interpolation, tuple(own.weight.shape))
        self.owner.double().load_state_dict(own.state_dict(), strict=False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, self.owner.shares())


def truth(model: OwnPositions, x: Tensor) -> Tensor:
    """What the parameters of this moment say, without any cache."""
    layer, owner = model.layer, model.owner
    kernel = construct_kernel(
        layer.weight, owner.positions, owner.sigma, owner.kernel_size, owner.interpolation
    )
    plain = layer.to_conv(owner.shares())
    return functional_call(plain, dict(weight=kernel, bias=layer.bias), (x,))
