"""A convolution with a dense kernel is torch's, whichever way it is computed."""

import pytest
import torch
import torch.nn.functional as F

from helpers.cases import assert_same_values_and_gradients, autocast, leaf
from mmdcls.dcls import conv
from mmdcls.dcls.conv import convolve
from mmdcls.dcls.conv.framework import CONVOLUTIONS

# groups, stride, kernel size, padding per axis and side, padding mode
CALLS = {
    "dense": (1, 1, 3, (1, 1), "constant"),
    "groups": (2, 1, 3, (1, 1), "constant"),
    "depthwise": (4, 1, 3, (1, 1), "constant"),
    "depthwise with stride": (4, 2, 3, (1, 1), "constant"),
    "more before than after": (2, 1, 4, (2, 1), "constant"),
    "depthwise, more after than before": (4, 1, 4, (0, 3), "constant"),
    "reflect": (1, 2, 4, (1, 2), "reflect"),
    "depthwise replicate": (4, 1, 5, (2, 2), "replicate"),
    "depthwise circular": (4, 1, 4, (1, 2), "circular"),
}


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("call", CALLS)
def test_convolve_is_to_pad_and_to_convolve(call, axes, device):
    groups, stride, size, sides, mode = CALLS[call]
    sources = dict(
        x=leaf(2, 4, *(7, 8, 9)[:axes], device=device),
        kernel=leaf(4, 4 // groups, *(size,) * axes, device=device),
        bias=leaf(4, device=device),
    )
    ours = convolve(
        **sources,
        stride=(stride,) * axes,
        padding=(sides,) * axes,
        padding_mode=mode,
        groups=groups,
    )
    padded = F.pad(sources["x"], sides * axes, mode=mode)
    theirs = CONVOLUTIONS[axes - 1](
        padded, sources["kernel"], sources["bias"], stride, groups=groups
    )
    assert_same_values_and_gradients(ours, theirs, sources)


def test_large_depthwise_kernels_take_the_operators_where_they_can_serve(monkeypatch, on_cpu):
    taken = []
    monkeypatch.setattr(conv, "depthwise", lambda *args: taken.append(args))
    convolve(leaf(2, 4, 9, 9), leaf(4, 1, 3, 3), None, (1, 1), ((1, 1),) * 2, "constant", 4)
    convolve(leaf(2, 4, 9, 9), leaf(4, 2, 3, 3), None, (1, 1), ((1, 1),) * 2, "constant", 2)
    assert len(taken) == 1


@pytest.mark.parametrize("channels", [2, 8, 16, 17])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_in_bfloat16_returns_with_few_channels(channels, stride):
    # Where oneDNN's own kernel never returned; a hang here is the failure.
    x = torch.randn(1, channels, 33, 40, dtype=torch.bfloat16, requires_grad=True)
    kernel = torch.randn(channels, 1, 17, 17, dtype=torch.bfloat16, requires_grad=True)
    call = (None, (stride, stride), ((8, 8), (8, 8)), "constant", channels)
    for image in (x, x.to(memory_format=torch.channels_last)):
        y = convolve(image, kernel, *call)
        y.sum().backward()
        expected = convolve(image.double(), kernel.double(), *call)
        torch.testing.assert_close(y.double(), expected, rtol=2e-2, atol=0.5)
        with autocast(torch.bfloat16):
            cast = convolve(image.float(), kernel.float(), *call)
        assert cast.dtype == torch.bfloat16
        torch.testing.assert_close(cast, y)
