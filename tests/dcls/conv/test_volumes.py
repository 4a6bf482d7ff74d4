"""The depthwise operators on volumes are `F.conv3d`, in every way of computing them."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from helpers.cases import (
    DEPTHWISE_SIZES,
    assert_same_values_and_gradients,
    autocast,
    draw_input,
    draw_layer,
    gradients,
    leaf,
)
from mmdcls.dcls.conv import convolve, operators, ways
from mmdcls.dcls.conv.crossovers import Call
from mmdcls.dcls.conv.operators import depthwise, depthwise_why_not
from mmdcls.dcls.conv.ways import VOLUME_WAYS, WAYS, chosen

# Of the first axis: frames, taps, padding.
LENGTHS = {
    "same": (4, 3, 1),
    "even": (5, 4, 2),
    "no padding": (5, 2, 0),
    "more taps than frames": (2, 7, 3),
    "padding larger than the kernel": (3, 2, 3),
    "a tap that meets padding alone": (1, 5, 4),
    "one frame, one tap": (1, 1, 0),
}
PLANES = {name: DEPTHWISE_SIZES[name] for name in DEPTHWISE_SIZES if "tiles" not in name}
SIZES = {
    **{f"{name}, same": (LENGTHS["same"], plane) for name, plane in PLANES.items()},
    **{f"even kernel, {name}": (length, PLANES["even kernel"]) for name, length in LENGTHS.items()},
}
SIZES = {
    name: tuple((along, *plane) for along, plane in zip(length, planes, strict=True))
    for name, (length, planes) in SIZES.items()
}
each_size = pytest.mark.parametrize("size, kernel_size, padding", SIZES.values(), ids=SIZES)
each_stride = pytest.mark.parametrize("stride", [(1, 1, 1), (2, 1, 3), (3, 2, 1)])
# Of the planes; of whole volumes the framework.
PAIRS = [*itertools.product(*WAYS.values()), ("framework", "framework")]


@pytest.fixture(params=PAIRS, ids="-".join)
def way(request, monkeypatch) -> tuple[str, str]:
    take(monkeypatch, request.param)
    return request.param


def take(monkeypatch: pytest.MonkeyPatch, pair: tuple[str, str]) -> None:
    """All calls go by taps, and their planes by this pair of ways; or by the framework."""
    of_maps = dict(zip(WAYS, pair, strict=True))
    of_volumes = "framework" if "framework" in pair[:1] else "taps"

    monkeypatch.setattr(ways, "choose", lambda asked, call: WAYS[asked][of_maps[asked]].run)
    monkeypatch.setattr(operators, "choose", lambda asked, call: VOLUME_WAYS[asked][of_volumes].run)


def conv3d(x, kernel, bias, stride, padding) -> torch.Tensor:
    return F.conv3d(x, kernel, bias, stride, padding, groups=x.shape[1])


def draw(batch, channels, size, kernel_size) -> dict[str, torch.Tensor]:
    return dict(
        x=leaf(batch, channels, *size), kernel=leaf(channels, 1, *kernel_size), bias=leaf(channels)
    )


@each_size
@each_stride
def test_depthwise_is_conv3d_in_values_and_gradients(stride, size, kernel_size, padding, way):
    sources = draw(2, 3, size, kernel_size)
    both = (run(*sources.values(), stride, padding) for run in (depthwise, conv3d))
    assert_same_values_and_gradients(*both, sources)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    kernel_size=st.tuples(*[st.integers(1, 9)] * 3),
    padding=st.tuples(*[st.integers(0, 9)] * 3),
    stride=st.tuples(*[st.integers(1, 3)] * 3),
    more=st.tuples(*[st.integers(0, 9)] * 3),
    batch=st.integers(1, 3),
    channels=st.integers(1, 20),
    pair=st.sampled_from(PAIRS),
)
def test_any_size_equals_conv3d_in_every_way(
    kernel_size, padding, stride, more, batch, channels, pair
):
    size = [max(k - 2 * p, 1) + m for k, p, m in zip(kernel_size, padding, more, strict=True)]
    sources = draw(batch, channels, size, kernel_size)
    with pytest.MonkeyPatch.context() as monkeypatch:
        take(monkeypatch, pair)
        ours = depthwise(**sources, stride=stride, padding=padding)
        theirs = conv3d(*sources.values(), stride, padding)
        assert_same_values_and_gradients(ours, theirs, sources)


@pytest.mark.parametrize("needed", ["x", "kernel", "bias"])
def test_only_the_gradient_that_is_asked_for_is_computed(needed, way):
    sources = {name: t.detach() for name, t in draw(2, 3, (4, 9, 9), (3, 5, 5)).items()}
    leaves = {needed: sources[needed].requires_grad_()}
    call = (*sources.values(), (1, 1, 1), (1, 2, 2))
    torch.testing.assert_close(
        gradients(depthwise(*call), leaves), gradients(conv3d(*call), leaves)
    )


@each_stride
@pytest.mark.parametrize(
    "size, kernel_size, padding",
    [((3, 4, 5), (2, 3, 4), (1, 1, 2)), ((2, 3, 4), (3, 2, 1), (3, 0, 1))],
)
def test_the_numerical_gradients_first_and_second(size, kernel_size, padding, stride):
    def ours(x, kernel, bias):
        return depthwise(x, kernel, bias, stride, padding)

    sources = tuple(draw(2, 2, size, kernel_size).values())
    assert torch.autograd.gradcheck(ours, sources)
    assert torch.autograd.gradgradcheck(ours, sources)


def test_batches_of_directions_have_the_gradients_of_conv3d():
    sources = tuple(draw(1, 2, (3, 4, 4), (2, 3, 2)).values())
    padding = (1, 1, 0)

    def cubed(function):
        return lambda *sources: function(*sources, (1, 1, 1), padding).pow(3).sum()

    ours, theirs = (
        torch.autograd.functional.hessian(cubed(function), sources, vectorize=True)
        for function in (depthwise, conv3d)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dual", range(3), ids=["x", "kernel", "bias"])
def test_forward_mode_reaches_every_argument(dual):
    values = [torch.randn(2, 3, 4, 6, 7), torch.randn(3, 1, 3, 3, 4), torch.randn(3)]
    with forward_ad.dual_level():
        values[dual] = forward_ad.make_dual(values[dual], torch.randn_like(values[dual]))
        ours = convolve(*values, (1, 1, 1), ((1, 1), (1, 1), (2, 2)), "constant", 3)
        theirs = conv3d(*values, (1, 1, 1), (1, 1, 2))
        slopes = [forward_ad.unpack_dual(y).tangent for y in (ours, theirs)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("spoilt", ["x", "kernel", "bias"])
def test_an_argument_of_another_dtype_is_refused(spoilt, way):
    sources = {name: t.detach().float() for name, t in draw(1, 3, (4, 9, 9), (3, 5, 5)).items()}
    sources[spoilt] = sources[spoilt].double()
    with pytest.raises(RuntimeError, match="type"):
        depthwise(**sources, stride=(1, 1, 1), padding=(1, 2, 2))


@pytest.mark.parametrize("size", [(3, 9, 9), (9, 3, 9)])
def test_a_kernel_larger_than_the_padded_volume_is_refused(size, way):
    sources = draw(1, 3, size, (6, 6, 6))
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        depthwise(**sources, stride=(1, 1, 1), padding=(1, 1, 1))


# Half precision rounds every plane's share and, in the framework as well, sums over whole volumes.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.02, torch.float16: 0.005}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@each_size
def test_a_lower_precision_is_conv3d_in_float64_up_to_rounding(dtype, size, kernel_size, padding):
    low = {name: t.detach().to(dtype) for name, t in draw(2, 3, size, kernel_size).items()}
    high = {name: t.double().requires_grad_() for name, t in low.items()}
    low = {name: t.requires_grad_() for name, t in low.items()}
    ours = depthwise(**low, stride=(1, 1, 1), padding=padding)
    theirs = conv3d(*high.values(), (1, 1, 1), padding)
    expected = dict(values=theirs.detach(), **gradients(theirs, high))
    for name, tensor in dict(values=ours.detach(), **gradients(ours, low)).items():
        assert tensor.dtype == dtype and tensor.shape == expected[name].shape
        # Where every product meets padding the exact sum is 0, of numbers of the order of 1.
        scale = expected[name].norm().clamp(min=1)
        assert (tensor.double() - expected[name]).norm() < TOLERANCE[dtype] * scale, name


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 1, 1)])
def test_an_empty_batch_has_a_gradient_of_zero(stride):
    sources = draw(0, 3, (4, 9, 8), (3, 5, 5))
    y = depthwise(**sources, stride=stride, padding=(1, 2, 2))
    y.sum().backward()
    assert y.shape == conv3d(*sources.values(), stride, (1, 2, 2)).shape
    assert sources["x"].grad.shape == sources["x"].shape
    assert sources["kernel"].grad.abs().sum() == sources["bias"].grad.abs().sum() == 0


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_answer_comes_in_the_memory_format_of_the_input(batch, channels, way):
    x = torch.randn(batch, channels, 4, 9, 7)
    kernel = torch.randn(channels, 1, 3, 5, 5, requires_grad=True)
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        y = depthwise(x.to(memory_format=memory_format), kernel, None, (1, 1, 1), (1, 2, 2))
        assert y.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_answer_may_be_changed_in_place(channels, way):
    x, kernel = torch.randn(1, channels, 4, 9, 7), leaf(channels, 1, 3, 5, 5).float()
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        y = depthwise(x.to(memory_format=memory_format), kernel, None, (1, 1, 1), (1, 2, 2))
        expected = y.relu()
        torch.testing.assert_close(y.relu_(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("stride", [[1, 1, 1], [2, 1, 1]])
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_custom_operators_keep_the_rules_of_torch(dtype, stride, with_bias):
    sources = {name: t.detach() for name, t in draw(2, 3, (4, 9, 8), (3, 5, 4)).items()}
    x, kernel, bias = (t.to(dtype).requires_grad_() for t in sources.values())
    x = operators.laid_out(x.detach()).requires_grad_()
    padding, checks = [1, 2, 2], ("test_schema", "test_autograd_registration", "test_faketensor")
    arguments = x, kernel, bias if with_bias else None, stride, padding
    torch.library.opcheck(operators.VALUES[5], arguments, test_utils=checks)
    grad = torch.randn_like(conv3d(x, kernel, None, [1, 1, 1], padding)).requires_grad_()
    grad = operators.laid_out(grad.detach()).requires_grad_()
    arguments = grad, x, [3, 5, 4], padding
    torch.library.opcheck(operators.KERNEL_GRADIENT[5], arguments, test_utils=checks)


# input, kernel, groups, dilation, words of the reason
REFUSED = {
    "no batch": ((4, 5, 9, 9), (4, 1, 3, 3, 3), 4, 1, "batches"),
    "a map": ((2, 4, 9, 9), (4, 1, 3, 3, 3), 4, 1, "volumes"),
    "groups": ((2, 4, 5, 9, 9), (4, 2, 3, 3, 3), 2, 1, "as many groups"),
    "two outputs per input": ((2, 2, 5, 9, 9), (4, 1, 3, 3, 3), 2, 1, "as many groups"),
    "dilation": ((2, 4, 5, 9, 9), (4, 1, 3, 3, 3), 4, 2, "dilation"),
    "planes of one cell": ((2, 4, 5, 9, 9), (4, 1, 3, 1, 1), 4, 1, "the framework is as fast"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_operators_cannot_serve_is_refused_with_a_reason(case, on_cpu):
    x, kernel, groups, dilation, words = REFUSED[case]
    reason = depthwise_why_not(
        torch.empty(x), torch.empty(kernel), groups, dilation=(dilation,) * 3
    )
    assert words in reason


def test_of_volumes_the_operators_are_for_the_cpu():
    with FakeTensorMode():
        x, kernel = (
            torch.empty(size, device="cuda") for size in ((2, 4, 5, 9, 9), (4, 1, 3, 3, 3))
        )
        assert "on CPUs only, and the input is on cuda" in depthwise_why_not(x, kernel, 4)


@pytest.mark.parametrize("computation", VOLUME_WAYS)
def test_kernels_with_planes_go_by_taps_and_every_way_serves_every_call(computation):
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for taps, plane in itertools.product((1, 3, 5), repeat=2):
            call = Call((8, 8, 8), (taps, plane, plane), dtype)
            assert chosen(computation, call) == ("framework" if plane == 1 else "taps")
            assert all(way.cannot(call) is None for way in VOLUME_WAYS[computation].values())


def test_a_layer_under_autocast_is_the_plain_convolution_with_its_kernel():
    layer = draw_layer(3, kernel_size=(3, 5, 4), padding="same", groups=4).float()
    x = draw_input(3).detach().float()
    with autocast(torch.bfloat16):
        ours, theirs = layer(x), layer.to_conv()(x)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)
