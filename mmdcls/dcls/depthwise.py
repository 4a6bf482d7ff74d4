"""Plain depthwise convolutions that take the ways of DCLS layers."""

from torch import Tensor, nn

from .conv import convolve_as


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d`, with its arguments and its state, convolved as DCLS layers are.

    With as many groups as input and output channels it takes the fastest way of `mmdcls.dcls.conv`
    for its sizes: on the NVIDIA GPUs that were measured, tensor cores from 9x9 cells on; on CPUs
    channels_last inside whatever the maps come in, and the FFT for the largest kernels. What the
    ways cannot serve is the framework's. Traced by `torch.export` it is a plain convolution.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return convolve_as(self, input, weight, bias)


class DepthwiseConv3d(nn.Conv3d):
    """As `DepthwiseConv2d`, for volumes: on CPUs in planes of the kernel, as maps convolve."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return convolve_as(self, input, weight, bias)


# By number of axes.
KEEPING_WAYS = {2: DepthwiseConv2d, 3: DepthwiseConv3d}
