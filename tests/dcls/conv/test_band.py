"""The band is `F.conv2d`."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from helpers.cases import (
    DEPTHWISE_SIZES,
    assert_same_values_and_gradients,
    draw_layer,
    gradients,
    poisoned,
)
from mmdcls.dcls import INTERPOLATIONS, Dcls2d, eager
from mmdcls.dcls.conv import operators, plain
from mmdcls.dcls.conv.operators import depthwise
from mmdcls.dcls.conv.ways import GPU_WAYS

SIZES = {
    **DEPTHWISE_SIZES,
    "the window exactly": ((19, 33), (17, 17), (8, 8)),
    "the second window": ((9, 20), (4, 31), (2, 15)),
    "several splits of the sum": ((30, 20), (3, 3), (1, 1)),
    "several programs for the kernel's rows": ((10, 9), (21, 3), (10, 1)),
}
WIDEST = {torch.float32: 42, torch.float16: 106, torch.bfloat16: 106}
# Half precision rounds values, gradients and, in the interpreter by cutting off, bfloat16; float32
# is three products in tf32.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
# Of numbers of the order of 10 in float32.
NEAR = dict(rtol=1e-4, atol=1e-4)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@pytest.fixture(autouse=True)
def band(monkeypatch) -> None:
    """Every call takes the band."""

    def choose(computation, call):
        return GPU_WAYS[computation]["band"].run

    monkeypatch.setattr(operators, "choose", choose)
    # As on a GPU, where nothing traces.
    monkeypatch.setattr(operators, "passes_by", lambda tensor: True)


def draw(dtype, device, batch, channels, size, kernel_size) -> dict[str, torch.Tensor]:
    shapes = dict(x=(batch, channels, *size), kernel=(channels, 1, *kernel_size), bias=(channels,))
    return {n: torch.randn(s).to(device, dtype).requires_grad_() for n, s in shapes.items()}


def assert_is_conv2d(sources: dict[str, torch.Tensor], padding: tuple[int, int]) -> None:
    """In values and gradients, against float64; there the framework's own way is torch's."""
    exact = {name: t.detach().double().requires_grad_() for name, t in sources.items()}
    channels = sources["x"].shape[1]
    theirs = F.conv2d(*exact.values(), padding=padding, groups=channels)
    with poisoned():
        ours = depthwise(**{"bias": None, **sources}, stride=(1, 1), padding=padding)
        found = dict(values=ours, **gradients(ours, sources))
    for name, expected in dict(values=theirs, **gradients(theirs, exact)).items():
        dtype = found[name].dtype
        assert dtype == sources["x"].dtype and found[name].shape == expected.shape
        # Where every product meets padding the exact sum is 0, of numbers of the order of 1.
        error = (found[name].double() - expected).norm() / expected.norm().clamp(min=1)
        assert error < TOLERANCE[dtype], name


@each_dtype
@pytest.mark.parametrize("size, kernel_size, padding", SIZES.values(), ids=SIZES)
def test_the_band_is_conv2d_in_values_and_gradients(
    dtype, size, kernel_size, padding, triton_device
):
    assert_is_conv2d(draw(dtype, triton_device, 2, 3, size, kernel_size), padding)


@each_dtype
def test_the_widest_kernel(dtype, triton_device):
    assert_is_conv2d(draw(dtype, triton_device, 1, 2, (5, 7), (3, WIDEST[dtype])), (1, 50))


@pytest.mark.parametrize("batch, channels", [(1, 1), (1, 70), (5, 2)])
def test_any_number_of_maps_and_channels(batch, channels, triton_device):
    assert_is_conv2d(draw(torch.float32, triton_device, batch, channels, (5, 6), (3, 3)), (1, 1))


def test_no_bias(triton_device):
    sources = draw(torch.float32, triton_device, 2, 3, (5, 6), (3, 3))
    del sources["bias"]
    assert_is_conv2d(sources, (1, 1))


@pytest.mark.parametrize("needed", ["x", "kernel", "bias"])
def test_only_the_gradient_that_is_asked_for(needed, triton_device):
    sources = {
        name: tensor.detach().requires_grad_(name == needed)
        for name, tensor in draw(torch.float32, triton_device, 2, 3, (9, 9), (5, 5)).items()
    }
    ours = depthwise(**sources, stride=(1, 1), padding=(2, 2))
    theirs = F.conv2d(*sources.values(), padding=2, groups=3)
    leaves = {needed: sources[needed]}
    torch.testing.assert_close(gradients(ours, leaves), gradients(theirs, leaves), **NEAR)


def test_the_same_bits_twice(triton_device):
    sources = draw(torch.float32, triton_device, 2, 3, (20, 40), (3, 5))

    def once() -> dict[str, torch.Tensor]:
        y = depthwise(**sources, stride=(1, 1), padding=(1, 2))
        return dict(values=y, **gradients(y, sources))

    for first, second in zip(once().values(), once().values(), strict=True):
        assert torch.equal(first, second)


def test_the_memory_format_of_the_input(triton_device):
    sources = draw(torch.float32, triton_device, 2, 3, (9, 7), (5, 5))
    assert depthwise(**sources, stride=(1, 1), padding=(2, 2)).is_contiguous()
    sources["x"] = sources["x"].contiguous(memory_format=torch.channels_last)
    y = depthwise(**sources, stride=(1, 1), padding=(2, 2))
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_gradients_of_gradients(triton_device):
    sources = draw(torch.float32, triton_device, 2, 3, (6, 7), (3, 4))

    def second(function) -> tuple[torch.Tensor, ...]:
        y = function(*sources.values(), (1, 1), (1, 2))
        first = torch.autograd.grad(y.square().sum(), list(sources.values()), create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), list(sources.values()))

    def theirs(*arguments):
        return plain(*arguments, groups=3)

    torch.testing.assert_close(second(depthwise), second(theirs), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_layer_with_elements_that_move(interpolation, triton_device):
    layer = draw_layer(kernel_size=7, padding=3, groups=4, interpolation=interpolation)
    layer = layer.float().to(triton_device)
    sources = dict(layer.named_parameters(), x=torch.randn(2, 4, 9, 20, device=triton_device))
    sources["x"].requires_grad_()
    ours = depthwise(sources["x"], layer.kernel(), layer.bias, stride=(1, 1), padding=(3, 3))
    theirs = plain(sources["x"], layer.kernel(), layer.bias, padding=3, groups=4)
    assert_same_values_and_gradients(ours, theirs, sources, **NEAR)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_kernel_of_float32_beside_a_map_of_half_precision(dtype, triton_device, monkeypatch):
    monkeypatch.setattr(operators, "autocast_dtype", lambda x: dtype)
    monkeypatch.setattr(operators, "mixes_dtypes", lambda *tensors: True)
    sources = draw(torch.float32, triton_device, 2, 3, (9, 20), (5, 7))
    exact = {name: t.detach().double().requires_grad_() for name, t in sources.items()}
    ours = depthwise(**sources, stride=(1, 1), padding=(2, 3))
    theirs = F.conv2d(*exact.values(), padding=(2, 3), groups=3)
    assert ours.dtype == dtype
    expected = gradients(theirs, exact)
    for name, grad in gradients(ours, sources).items():
        assert grad.dtype == torch.float32
        error = (grad.double() - expected[name]).norm() / expected[name].norm()
        assert error < 2 * TOLERANCE[dtype], name


@pytest.fixture
def layer(triton_device) -> Dcls2d:
    made = draw_layer(kernel_size=7, padding=3, groups=4, interpolation="gaussian")
    return made.float().to(triton_device)


@pytest.fixture
def x(triton_device) -> torch.Tensor:
    return torch.randn(2, 4, 9, 20, device=triton_device).requires_grad_()


def assert_is_the_framework(run, layer: nn.Module, x: torch.Tensor, kernel: torch.Tensor) -> None:
    """run: of x, what layer computes."""
    sources = dict(layer.named_parameters(), x=x)
    theirs = plain(x, kernel, layer.bias, padding=3, groups=4)
    assert_same_values_and_gradients(run(x), theirs, sources, **NEAR)


def test_a_merged_layer_that_keeps_its_ways(layer, x):
    conv = layer.to_conv(keep_ways=True)
    assert_is_the_framework(conv, conv, x, conv.weight)


def test_activation_checkpointing(layer, x):
    def run(x: torch.Tensor) -> torch.Tensor:
        return checkpoint(layer, x, use_reentrant=False)

    assert_is_the_framework(run, layer, x, layer.kernel())


def test_distributed_data_parallel_has_the_gradients_of_the_bare_layer(layer, x, process_group):
    parallel = nn.parallel.DistributedDataParallel(copy.deepcopy(layer))
    for module in (layer, parallel):
        module(x.detach()).square().sum().backward()
    for bare, wrapped in zip(layer.parameters(), parallel.module.parameters(), strict=True):
        torch.testing.assert_close(bare.grad, wrapped.grad)
    del parallel


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_without_a_break(layer, x, monkeypatch):
    monkeypatch.setattr(operators, "passes_by", eager.passes_by)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_is_the_framework(compiled, layer, x, layer.kernel())
    torch.compiler.reset()
