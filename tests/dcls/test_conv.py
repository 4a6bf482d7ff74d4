"""A convolution with a dense kernel is torch's, whichever way it is computed."""

import pytest
import torch
import torch.nn.functional as F
from cases import assert_same_values_and_gradients, gradients

from mmdcls.dcls import conv
from mmdcls.dcls.conv import TILE, convolve, depthwise, depthwise_why_not

# map, kernel, padding
DEPTHWISE = {
    "smaller than a tile": ((9, 7), (5, 3), (2, 1)),
    "as large as a tile": ((TILE, TILE), (3, 3), (1, 1)),
    "one cell more than a tile": ((TILE + 1, TILE + 1), (3, 5), (1, 2)),
    "several tiles and a rest": ((2 * TILE + 3, 3 * TILE - 1), (7, 5), (3, 2)),
    "even kernel": ((11, 12), (4, 6), (2, 3)),
    "no padding": ((11, 20), (4, 3), (0, 0)),
    "padding along one axis": ((20, 11), (5, 4), (4, 0)),
    "kernel larger than the map": ((6, 5), (13, 17), (6, 8)),
    "kernel as large as the map": ((6, 5), (6, 5), (0, 0)),
    "padding larger than the kernel": ((5, 4), (2, 3), (4, 5)),
    "single row": ((1, 2 * TILE + 1), (1, 7), (0, 3)),
    "single cell": ((1, 1), (1, 1), (0, 0)),
}
each_depthwise = pytest.mark.parametrize(
    "size, kernel_size, padding", DEPTHWISE.values(), ids=DEPTHWISE
)


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double).requires_grad_()


@each_depthwise
@pytest.mark.parametrize("channels, batch", [(1, 1), (3, 1), (3, 2)])
def test_depthwise_is_conv2d_in_values_and_gradients(channels, batch, size, kernel_size, padding):
    sources = dict(
        x=leaf(batch, channels, *size),
        kernel=leaf(channels, 1, *kernel_size),
        bias=leaf(channels),
    )
    ours = depthwise(**sources, padding=padding)
    theirs = F.conv2d(*sources.values(), padding=padding, groups=channels)
    assert_same_values_and_gradients(ours, theirs, sources)


@pytest.mark.parametrize("needed", ["x", "kernel"])
def test_depthwise_hands_out_only_the_gradient_that_is_asked_for(needed):
    sources = dict(x=torch.randn(2, 3, 9, 9), kernel=torch.randn(3, 1, 5, 5))
    sources[needed].requires_grad_()
    ours = depthwise(**sources, bias=None, padding=(2, 2))
    theirs = F.conv2d(*sources.values(), padding=2, groups=3)
    leaves = {needed: sources[needed]}
    torch.testing.assert_close(gradients(ours, leaves), gradients(theirs, leaves))


@pytest.mark.parametrize(
    "size, kernel_size, padding", [((6, 5), (3, 4), (1, 2)), ((3, 4), (5, 6), (2, 3))]
)
def test_depthwise_has_the_numerical_gradients_first_and_second(size, kernel_size, padding):
    def ours(x, kernel, bias):
        return depthwise(x, kernel, bias, padding)

    sources = leaf(2, 2, *size), leaf(2, 1, *kernel_size), leaf(2)
    assert torch.autograd.gradcheck(ours, sources)
    assert torch.autograd.gradgradcheck(ours, sources)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@each_depthwise
def test_depthwise_in_a_lower_precision_is_conv2d_in_float64_up_to_rounding(
    dtype, size, kernel_size, padding
):
    x, kernel = leaf(2, 3, *size), leaf(3, 1, *kernel_size)
    low = dict(x=x.to(dtype), kernel=kernel.to(dtype))
    high = {name: tensor.double() for name, tensor in low.items()}
    ours = depthwise(**low, bias=None, padding=padding)
    theirs = F.conv2d(*high.values(), padding=padding, groups=3)
    assert ours.dtype == dtype
    step = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(ours.double(), theirs, rtol=step, atol=10 * step)
    expected = gradients(theirs, high)
    # A sum over a whole map rounds more than a few steps, in the framework's convolution as well.
    plain = gradients(F.conv2d(*low.values(), padding=padding, groups=3), low)
    for name, grad in gradients(ours, low).items():
        assert grad.dtype == dtype
        errors = [(g.double() - expected[name]).norm() for g in (grad, plain[name])]
        assert errors[0] < max(step * expected[name].norm(), 2 * errors[1]), name


def test_depthwise_of_an_empty_batch_has_a_gradient_of_zero():
    x, kernel, bias = leaf(0, 3, 9, 8), leaf(3, 1, 5, 5), leaf(3)
    y = depthwise(x, kernel, bias, (2, 2))
    assert y.shape == (0, 3, 9, 8)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert kernel.grad.abs().sum() == bias.grad.abs().sum() == 0


@pytest.mark.parametrize("kernel_needs_gradient", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_depthwise_answers_in_the_memory_format_of_the_input(channels, kernel_needs_gradient):
    x = torch.randn(2, channels, 9, 7)
    kernel = torch.randn(channels, 1, 5, 5, requires_grad=kernel_needs_gradient)
    assert depthwise(x, kernel, None, (2, 2)).is_contiguous()
    x = x.contiguous(memory_format=torch.channels_last)
    y = depthwise(x, kernel, None, (2, 2))
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size, kernel_size, padding", [((9, 7), (5, 3), (2, 1))])
def test_the_custom_operators_keep_the_rules_of_torch(dtype, size, kernel_size, padding):
    x = torch.randn(2, 3, *size, dtype=dtype).to(memory_format=torch.channels_last)
    kernel = torch.randn(3, 1, *kernel_size, dtype=dtype)
    arguments = x.requires_grad_(), kernel.requires_grad_(), list(padding)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(conv.depthwise_conv2d, arguments, test_utils=checks)
    grad = torch.randn_like(F.conv2d(x, kernel, padding=padding, groups=3)).requires_grad_()
    torch.library.opcheck(
        conv.depthwise_conv2d_kernel_gradient,
        (grad, x, list(kernel_size), list(padding)),
        test_utils=checks,
    )


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
def test_convolve_is_to_pad_and_to_convolve(call, axes):
    groups, stride, size, sides, mode = CALLS[call]
    sources = dict(
        x=leaf(2, 4, *(7, 8, 9)[:axes]),
        kernel=leaf(4, 4 // groups, *(size,) * axes),
        bias=leaf(4),
    )
    ours = convolve(
        **sources,
        stride=(stride,) * axes,
        padding=(sides,) * axes,
        padding_mode=mode,
        groups=groups,
    )
    padded = F.pad(sources["x"], sides * axes, mode=mode)
    theirs = conv.CONVOLUTIONS[axes - 1](
        padded, sources["kernel"], sources["bias"], stride, groups=groups
    )
    assert_same_values_and_gradients(ours, theirs, sources)


# input, kernel, stride, groups, words of the reason
REFUSED = {
    "a single axis": ((2, 4, 9), (4, 1, 3), (1,), 4, "two-dimensional"),
    "no batch": ((4, 9, 9), (4, 1, 3, 3), (1, 1), 4, "batches"),
    "groups": ((2, 4, 9, 9), (4, 2, 3, 3), (1, 1), 2, "as many groups"),
    "two outputs per input": ((2, 2, 9, 9), (4, 1, 3, 3), (1, 1), 2, "as many groups"),
    "stride": ((2, 4, 9, 9), (4, 1, 3, 3), (1, 2), 4, "stride 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_depthwise_way_cannot_serve_is_refused_with_a_reason(case):
    x, kernel, stride, groups, words = REFUSED[case]
    assert words in depthwise_why_not(torch.empty(x), torch.empty(kernel), stride, groups)


def test_the_depthwise_way_is_for_the_cpu():
    x, kernel = torch.empty(2, 4, 9, 9, device="meta"), torch.empty(4, 1, 3, 3, device="meta")
    assert "CPU" in depthwise_why_not(x, kernel, (1, 1), 4)


def test_the_depthwise_way_is_taken_where_it_can_serve(monkeypatch):
    taken = []
    monkeypatch.setattr(conv, "depthwise", lambda *args: taken.append(args))
    convolve(leaf(2, 4, 9, 9), leaf(4, 1, 3, 3), None, (1, 1), ((1, 1),) * 2, "constant", 4)
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
        with torch.autocast("cpu", torch.bfloat16):
            cast = convolve(image.float(), kernel.float(), *call)
        assert cast.dtype == torch.bfloat16
        torch.testing.assert_close(cast, y)
