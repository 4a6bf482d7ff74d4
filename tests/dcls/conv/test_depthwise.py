"""The depthwise operators are `F.conv2d`, in every way of computing them."""

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad

from helpers.cases import DEPTHWISE_SIZES, assert_same_values_and_gradients, gradients, leaf
from mmdcls.dcls import eager
from mmdcls.dcls.conv import convolve, operators
from mmdcls.dcls.conv.crossovers import FFT_FROM, Call, preferred
from mmdcls.dcls.conv.framework import FAST_WIDTH, SLOW_WIDTHS, widened
from mmdcls.dcls.conv.operators import depthwise, depthwise_why_not
from mmdcls.dcls.conv.ways import WAYS, choose

PAIRS = list(itertools.product(*WAYS.values()))
each_size = pytest.mark.parametrize(
    "size, kernel_size, padding", DEPTHWISE_SIZES.values(), ids=DEPTHWISE_SIZES
)


@pytest.fixture(params=PAIRS, ids="-".join)
def way(request, monkeypatch) -> tuple[str, str]:
    """Every call that this way can serve takes it."""
    take(monkeypatch, *request.param)
    return request.param


def take(monkeypatch, values: str, gradient: str) -> None:
    chosen = dict(values=values, kernel_gradient=gradient)

    def choose(computation, call):
        return WAYS[computation][chosen[computation]].run

    monkeypatch.setattr(operators, "choose", choose)


@each_size
@pytest.mark.parametrize(
    "channels, batch, stride", [(1, 1, (1, 1)), (3, 2, (1, 1)), (3, 2, (2, 3))]
)
def test_depthwise_is_conv2d_in_values_and_gradients(
    channels, batch, stride, size, kernel_size, padding, way
):
    sources = dict(
        x=leaf(batch, channels, *size),
        kernel=leaf(channels, 1, *kernel_size),
        bias=leaf(channels),
    )
    ours = depthwise(**sources, stride=stride, padding=padding)
    theirs = F.conv2d(*sources.values(), stride=stride, padding=padding, groups=channels)
    assert_same_values_and_gradients(ours, theirs, sources)


@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@each_size
def test_the_operators_are_what_passes_them_by(stride, size, kernel_size, padding, monkeypatch):
    sources = dict(x=leaf(2, 3, *size), kernel=leaf(3, 1, *kernel_size), bias=leaf(3))

    def found() -> dict[str, torch.Tensor]:
        values = depthwise(**sources, stride=stride, padding=padding)
        return dict(values=values, **gradients(values, sources))

    passed = found()
    monkeypatch.setattr(eager, "DEVICES", ())
    torch.testing.assert_close(passed, found())


@pytest.mark.parametrize("needed", ["x", "kernel", "bias"])
def test_depthwise_hands_out_only_the_gradient_that_is_asked_for(needed, way):
    sources = dict(x=torch.randn(2, 3, 9, 9), kernel=torch.randn(3, 1, 5, 5), bias=torch.randn(3))
    sources[needed].requires_grad_()
    ours = depthwise(**sources, stride=(1, 1), padding=(2, 2))
    theirs = F.conv2d(*sources.values(), padding=2, groups=3)
    leaves = {needed: sources[needed]}
    torch.testing.assert_close(gradients(ours, leaves), gradients(theirs, leaves))


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize(
    "size, kernel_size, padding",
    [((6, 5), (3, 4), (1, 2)), ((3, 4), (5, 6), (2, 3)), ((4, 3), (2, 2), (3, 0))],
)
def test_depthwise_has_the_numerical_gradients_first_and_second(
    size, kernel_size, padding, stride, way
):
    def ours(x, kernel, bias):
        return depthwise(x, kernel, bias, stride, padding)

    sources = leaf(2, 2, *size), leaf(2, 1, *kernel_size), leaf(2)
    assert torch.autograd.gradcheck(ours, sources)
    assert torch.autograd.gradgradcheck(ours, sources)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
def test_depthwise_has_the_gradients_of_conv2d_in_batches_of_directions(stride):
    sources = leaf(2, 3, 6, 7), leaf(3, 1, 3, 4), leaf(3)

    def ours(*sources):
        return depthwise(*sources, stride, (1, 2))

    def theirs(*sources):
        return F.conv2d(*sources, stride, (1, 2), groups=3)

    def cubed(function):
        return lambda *sources: function(*sources).pow(3).sum()

    first, second = torch.autograd.functional.jacobian, torch.autograd.functional.hessian
    torch.testing.assert_close(first(ours, sources, vectorize=True), first(theirs, sources))
    torch.testing.assert_close(
        second(cubed(ours), sources, vectorize=True), second(cubed(theirs), sources)
    )


@pytest.mark.parametrize("needs_gradient", [True, False])
def test_depthwise_serves_in_a_transform_that_follows_something_else(needs_gradient):
    x, kernel = torch.randn(2, 3, 9, 7), torch.randn(3, 1, 3, 3, requires_grad=needs_gradient)
    scales = torch.arange(3.0)

    def scaled(scale: torch.Tensor) -> torch.Tensor:
        return scale * convolve(x, kernel, None, (1, 1), ((1, 1), (1, 1)), "constant", 3)

    expected = F.conv2d(x, kernel, padding=1, groups=3)
    torch.testing.assert_close(
        torch.func.vmap(scaled)(scales), scales.view(3, 1, 1, 1, 1) * expected
    )
    slope = torch.func.grad(lambda scale: scaled(scale).sum())(scales[1])
    torch.testing.assert_close(slope, expected.sum())


@pytest.mark.parametrize("with_gradient", [True, False])
def test_values_and_gradients_may_be_changed_in_place(with_gradient, way):
    x, kernel, factor = leaf(2, 3, 9, 7), leaf(3, 1, 5, 5), leaf(1)
    with torch.set_grad_enabled(with_gradient):
        laid = x.contiguous(memory_format=torch.channels_last)
        found = [depthwise(laid, kernel, None, (1, 1), (2, 2))]
    if with_gradient:
        found += torch.autograd.grad(found[0].square().sum(), (x, kernel), create_graph=True)
    for tensor in found:
        expected = factor * tensor
        torch.testing.assert_close(tensor.mul_(factor), expected)


@pytest.mark.parametrize("size, padding", [((9, 9), 0), ((2, 30), 0), ((1, 1), 4)])
@pytest.mark.parametrize("width", SLOW_WIDTHS)
def test_a_kernel_that_does_not_fit_is_refused_as_conv2d_does(width, size, padding):
    x, kernel = torch.randn(1, 20, *size), torch.randn(20, 1, 3, width)
    with pytest.raises(RuntimeError, match="greater than actual input size") as theirs:
        F.conv2d(x, kernel, padding=padding, groups=20)
    with pytest.raises(RuntimeError) as ours:
        depthwise(x, kernel, None, (1, 1), (padding, padding))
    assert str(ours.value) == str(theirs.value)


def test_complex_numbers_have_the_gradients_of_conv2d():
    def draw_complex(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.complex128, requires_grad=True)

    sources = dict(
        x=draw_complex(2, 3, 9, 7), kernel=draw_complex(3, 1, 5, 5), bias=draw_complex(3)
    )
    ours = convolve(*sources.values(), (1, 1), ((2, 2), (2, 2)), "constant", 3)
    theirs = F.conv2d(*sources.values(), padding=2, groups=3)
    assert_same_values_and_gradients(ours, theirs, sources)


@pytest.mark.parametrize("spoilt", ["x", "kernel", "bias"])
def test_an_argument_of_another_dtype_is_refused_in_every_way(spoilt, way):
    sources = dict(x=torch.randn(1, 3, 9, 9), kernel=torch.randn(3, 1, 5, 5), bias=torch.randn(3))
    sources[spoilt] = sources[spoilt].double()
    with pytest.raises(RuntimeError, match="type"):
        depthwise(**sources, stride=(1, 1), padding=(2, 2))


@pytest.mark.parametrize("dual", range(3), ids=["x", "kernel", "bias"])
def test_forward_mode_reaches_every_argument(dual):
    values = [torch.randn(2, 3, 6, 7), torch.randn(3, 1, 3, 4), torch.randn(3)]
    with forward_ad.dual_level():
        values[dual] = forward_ad.make_dual(values[dual], torch.randn_like(values[dual]))
        ours = convolve(*values, (1, 1), ((1, 1), (2, 2)), "constant", 3)
        theirs = F.conv2d(*values, padding=(1, 2), groups=3)
        slopes = [forward_ad.unpack_dual(y).tangent for y in (ours, theirs)]
    torch.testing.assert_close(*slopes)


def framework(x, kernel, bias, stride, padding) -> torch.Tensor:
    return F.conv2d(x, kernel, bias, stride, padding, groups=x.shape[1])


def by_fourier(x, kernel, bias, stride, padding) -> torch.Tensor:
    """As the framework in float64, which takes seconds of the largest maps and kernels."""
    x = F.pad(x, [side for side in reversed(padding) for _ in range(2)])
    size = x.shape[2:]
    spectrum = torch.fft.rfft2(x) * torch.fft.rfft2(kernel[:, 0], s=size).conj()
    rows, columns = (s - k + 1 for s, k in zip(size, kernel.shape[2:], strict=True))
    y = torch.fft.irfft2(spectrum, s=size)[..., :rows, :columns] + bias[:, None, None]
    return y[..., :: stride[0], :: stride[1]]


@each_size
def test_the_truth_of_large_sizes_is_the_frameworks(size, kernel_size, padding):
    sources = dict(x=leaf(2, 3, *size), kernel=leaf(3, 1, *kernel_size), bias=leaf(3))
    assert_same_values_and_gradients(
        *(way(*sources.values(), (2, 1), padding) for way in (by_fourier, framework)), sources
    )


def relative_errors(
    sources: dict, stride: tuple, padding: tuple, truth: Callable = framework
) -> dict[str, float]:
    """Of values and gradients, against the truth in float64."""

    def all_of(function, sources) -> dict[str, torch.Tensor]:
        y = function(*sources.values(), stride, padding)
        return dict(values=y.detach(), **gradients(y, sources))

    exact = all_of(truth, {n: t.detach().double().requires_grad_() for n, t in sources.items()})
    errors = {}
    for name, tensor in all_of(depthwise, sources).items():
        assert tensor.dtype == sources["x"].dtype and tensor.shape == exact[name].shape
        # Where every product meets padding the exact sum is 0, of numbers of the order of 1.
        scale = exact[name].norm().clamp(min=1)
        errors[name] = float((tensor.double() - exact[name]).norm() / scale)
    return errors


def draw(dtype, batch, channels, size, kernel_size) -> dict[str, torch.Tensor]:
    shapes = dict(x=(batch, channels, *size), kernel=(channels, 1, *kernel_size), bias=(channels,))
    return {n: torch.randn(s).to(dtype).requires_grad_() for n, s in shapes.items()}


# Half precision rounds every value and, in the framework as well, sums over whole maps.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.02, torch.float16: 0.005}
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@each_dtype
@each_size
def test_depthwise_in_a_lower_precision_is_conv2d_in_float64_up_to_rounding(
    dtype, size, kernel_size, padding
):
    x, kernel = leaf(2, 3, *size), leaf(3, 1, *kernel_size)
    low = dict(x=x.to(dtype), kernel=kernel.to(dtype))
    high = {name: tensor.double() for name, tensor in low.items()}
    ours = depthwise(**low, bias=None, stride=(1, 1), padding=padding)
    theirs = F.conv2d(*high.values(), padding=padding, groups=3)
    assert ours.dtype == dtype
    step = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(ours.double(), theirs, rtol=step, atol=10 * step)
    expected = gradients(theirs, high)
    terms = dict(x=kernel[0].numel(), kernel=theirs[:, 0].numel())
    for name, grad in gradients(ours, low).items():
        assert grad.dtype == dtype
        error = (grad.double() - expected[name]).norm()
        # Sums are in float32, on some processors of one term after another: n partial sums, each
        # rounded by at most eps / 2 of itself. With random signs none is typically larger than
        # the whole, and the n errors add up to root n of them.
        walk = terms[name] ** 0.5 * torch.finfo(torch.float32).eps / 2
        assert error < (step + walk) * expected[name].norm(), name


@pytest.mark.parametrize("width", range(min(SLOW_WIDTHS) - 1, FAST_WIDTH + 1))
@pytest.mark.parametrize("padding", [0, 5])
def test_a_kernel_that_is_widened_convolves_as_it_did(width, padding, monkeypatch, on_cpu):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    x, kernel = torch.randn(2, 20, 9, 17), torch.randn(20, 1, 3, width)
    wider, more = widened(x, kernel, [1, padding])
    assert (wider is kernel) == (width not in SLOW_WIDTHS)
    assert wider.shape[-1] >= FAST_WIDTH or wider is kernel
    for stride in (1, 2):
        expected = F.conv2d(x, kernel, stride=stride, padding=(1, padding), groups=20)
        ours = F.conv2d(x, wider, stride=stride, padding=more, groups=20)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    exact = kernel.double()
    assert widened(x, exact, [1, padding])[0] is exact


@st.composite
def calls(draw_from, largest_map: int, largest_kernel: int) -> tuple:
    """Any sizes of which something is left: batch, channels, map, kernel, stride, padding."""
    kernel = draw_from(st.tuples(*[st.integers(1, largest_kernel)] * 2))
    padding = draw_from(st.tuples(*[st.integers(0, largest_kernel)] * 2))
    size = tuple(
        draw_from(st.integers(max(s - 2 * p, 1), largest_map + max(s - 2 * p, 0)))
        for s, p in zip(kernel, padding, strict=True)
    )
    stride = draw_from(st.tuples(*[st.integers(1, 3)] * 2))
    return (
        draw_from(st.integers(1, 3)),
        draw_from(st.integers(1, 20)),
        size,
        kernel,
        stride,
        padding,
    )


@pytest.mark.parametrize("values, gradient", PAIRS)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(call=calls(largest_map=24, largest_kernel=20))
def test_any_size_equals_conv2d_in_every_way(values, gradient, call):
    batch, channels, size, kernel_size, stride, padding = call
    with pytest.MonkeyPatch.context() as monkeypatch:
        take(monkeypatch, values, gradient)
        low = draw(torch.float32, batch, channels, size, kernel_size)
        for name, error in relative_errors(low, stride, padding).items():
            assert error < 1e-5, name


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    side=st.sampled_from([7, 14, 28, 56, 97, 128, 256]),
    kernel=st.integers(3, 63),
    batch=st.sampled_from([1, 2, 32]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_the_sizes_of_backbones_equal_conv2d_in_the_way_that_is_chosen(side, kernel, batch, dtype):
    # Few channels and a small batch where the map is large: the law does not depend on either.
    batch, channels = (batch, 5) if side < 32 else (1, 17 if side < 97 else 1)
    low = draw(dtype, batch, channels, (side, side), (kernel, kernel))
    padding = (kernel // 2, (kernel - 1) // 2)
    for name, error in relative_errors(low, (1, 1), padding, by_fourier).items():
        assert error < TOLERANCE[dtype], name


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
def test_depthwise_of_an_empty_batch_has_a_gradient_of_zero(stride):
    x, kernel, bias = leaf(0, 3, 9, 8), leaf(3, 1, 5, 5), leaf(3)
    y = depthwise(x, kernel, bias, stride, (2, 2))
    y.sum().backward()
    assert y.shape == F.conv2d(x, kernel, bias, stride, 2, groups=3).shape
    assert x.grad.shape == x.shape
    assert kernel.grad.abs().sum() == bias.grad.abs().sum() == 0


@pytest.mark.parametrize("kernel_needs_gradient", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_depthwise_answers_in_the_memory_format_of_the_input(channels, kernel_needs_gradient, way):
    x = torch.randn(2, channels, 9, 7)
    kernel = torch.randn(channels, 1, 5, 5, requires_grad=kernel_needs_gradient)
    assert depthwise(x, kernel, None, (1, 1), (2, 2)).is_contiguous()
    x = x.contiguous(memory_format=torch.channels_last)
    y = depthwise(x, kernel, None, (1, 1), (2, 2))
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("stride", [[1, 1], [2, 1]])
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_custom_operators_keep_the_rules_of_torch(dtype, stride, with_bias, way):
    if "fft" in way and dtype == torch.bfloat16:
        pytest.skip("the FFT refuses bfloat16")
    size, kernel_size, padding = DEPTHWISE_SIZES["smaller than a tile"]
    x = torch.randn(2, 3, *size, dtype=dtype).to(memory_format=torch.channels_last)
    kernel = torch.randn(3, 1, *kernel_size, dtype=dtype).requires_grad_()
    bias = torch.randn(3, dtype=dtype).requires_grad_() if with_bias else None
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    arguments = x.requires_grad_(), kernel, bias, stride, list(padding)
    torch.library.opcheck(operators.VALUES[4], arguments, test_utils=checks)
    grad = torch.randn_like(F.conv2d(x, kernel, padding=padding, groups=3)).requires_grad_()
    torch.library.opcheck(
        operators.KERNEL_GRADIENT[4],
        (grad, x, list(kernel_size), list(padding)),
        test_utils=checks,
    )


# input, kernel, groups, words of the reason
REFUSED = {
    "a single axis": ((2, 4, 9), (4, 1, 3), 4, "two-dimensional"),
    "no batch": ((4, 9, 9), (4, 1, 3, 3), 4, "batches"),
    "groups": ((2, 4, 9, 9), (4, 2, 3, 3), 2, "as many groups"),
    "two outputs per input": ((2, 2, 9, 9), (4, 1, 3, 3), 2, "as many groups"),
    "two inputs per output": ((2, 4, 9, 9), (4, 2, 3, 3), 4, "as many groups"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_operators_cannot_serve_is_refused_with_a_reason(case):
    x, kernel, groups, words = REFUSED[case]
    assert words in depthwise_why_not(torch.empty(x), torch.empty(kernel), groups)


def test_the_operators_are_for_the_cpu():
    x, kernel = torch.empty(2, 4, 9, 9, device="meta"), torch.empty(4, 1, 3, 3, device="meta")
    assert "CPU" in depthwise_why_not(x, kernel, 4)


@pytest.mark.parametrize("computation", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_preferred_way_is_taken_unless_it_refuses(computation, dtype):
    taken = set()
    for side in (1, 7, 64, 256, 1000):
        for kernel in (1, 3, 17, 63):
            call = Call((side, side), (kernel, kernel), dtype)
            run = choose(computation, call)
            (name,) = (name for name, way in WAYS[computation].items() if way.run is run)
            assert WAYS[computation][name].why_not(call) is None
            reason = WAYS[computation][preferred(computation, call)].why_not(call)
            assert reason is None or str(dtype) in reason
            assert reason or name == preferred(computation, call)
            taken.add(name)
    assert ("fft" in taken) == (dtype == torch.float32)


def test_the_crossovers_cover_every_computation_from_small_maps_to_large_ones():
    assert FFT_FROM.keys() == WAYS.keys()
    for table in FFT_FROM.values():
        assert list(table) == sorted(table)


def test_the_first_way_of_a_computation_serves_every_call():
    for ways in WAYS.values():
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            assert next(iter(ways.values())).why_not(Call((7, 7), (3, 3), dtype)) is None
