"""A layer on a GPU, by the ways that are the fastest there, is the layer of the framework."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from helpers.cases import gradients
from mmdcls.dcls import Dcls2d, ElementPositions, construction, kernel
from mmdcls.dcls.conv import crossovers, operators, windows
from mmdcls.dcls.gpu import capability_of, triton_why_not

pytestmark = pytest.mark.gpu
if not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)
GPU = torch.device("cuda", torch.cuda.current_device())
if reason := triton_why_not(GPU):
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(autouse=True)
def measured(monkeypatch) -> None:
    """As if this card had been measured, and found as others."""
    monkeypatch.setitem(crossovers.BAND_FROM, capability_of(GPU), dict.fromkeys(windows.WINDOWS, 9))
    monkeypatch.setattr(construction, "MEASURED", {capability_of(GPU)})
    windows.known_why_not.cache_clear()
    construction.known_why_not.cache_clear()
    torch.compiler.reset()
    yield
    windows.known_why_not.cache_clear()
    construction.known_why_not.cache_clear()


def draw(interpolation: str = "gaussian") -> tuple[Dcls2d, torch.Tensor]:
    options = dict(padding=8, groups=40, kernel_count=9, interpolation=interpolation)
    layer = Dcls2d(40, 40, 17, **options, device=GPU)
    layer.positions.data.uniform_(-8, 8)
    x = torch.randn(2, 40, 19, 21, device=GPU).contiguous(memory_format=torch.channels_last)
    return layer, x.requires_grad_()


def in_float64(layer: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    twin, image = copy.deepcopy(layer).double(), x.detach().double().requires_grad_()
    return found_by(twin, twin, image)


def found_by(run, layer: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    sources = dict(layer.named_parameters(), x=x)
    y = run(x)
    return dict(values=y, **gradients(y, sources))


def assert_near(found: dict, expected: dict, tolerance: float) -> None:
    for name, tensor in found.items():
        error = (tensor.double() - expected[name]).norm() / expected[name].norm()
        assert error < tolerance, (name, float(error))


@pytest.fixture
def entered(monkeypatch) -> list[str]:
    """The names of the ways that are taken."""
    names = []
    choose = operators.choose

    def noted(computation, call):
        names.append(choose(computation, call).__name__)
        return choose(computation, call)

    monkeypatch.setattr(operators, "choose", noted)
    return names


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_a_layer_takes_the_band_and_fused_construction(interpolation, entered):
    layer, x = draw(interpolation)
    assert kernel.construction_why_not(2, 17, layer.weight, layer.positions) is None
    assert_near(found_by(layer, layer, x), in_float64(layer, x), 5e-6)
    assert entered == ["values_by_band", "values_by_band", "kernel_gradient_by_band"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast(dtype, entered):
    layer, x = draw()

    def run(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", dtype):
            y = layer(x)
        assert y.dtype == dtype
        return y

    assert_near(found_by(run, layer, x), in_float64(layer, x), 0.02)
    assert set(entered) == {"values_by_band", "kernel_gradient_by_band"}


def test_a_merged_layer_that_keeps_its_ways_takes_the_band(entered):
    layer, x = draw()
    conv = layer.to_conv(keep_ways=True)
    assert_near(found_by(conv, conv, x), in_float64(conv, x), 5e-6)
    assert set(entered) == {"values_by_band", "kernel_gradient_by_band"}


def test_autocast_leaves_float64_alone():
    layer, x = draw()
    layer, x = layer.double(), x.detach().double()
    with torch.autocast("cuda", torch.bfloat16):
        assert layer(x).dtype == torch.float64


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_the_compiled_layer(backend, entered):
    layer, x = draw()
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    assert_near(found_by(compiled, layer, x), in_float64(layer, x), 5e-6)
    assert set(entered) == {"values_by_band", "kernel_gradient_by_band"}


def test_an_exported_layer_runs_where_this_package_is_not():
    layer, x = draw()
    program = torch.export.export(layer, (x.detach(),))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets and not [target for target in targets if "mmdcls" in target]


def test_a_step_is_captured_as_a_graph():
    layer, x = draw()
    image, before = x.detach().clone(), x.detach().clone()
    layer(image).square().sum().backward()
    graph = torch.cuda.CUDAGraph()
    layer.zero_grad(set_to_none=False)
    with torch.cuda.graph(graph):
        y = layer(image)
        y.square().sum().backward()
    for data in (before, torch.randn_like(before)):
        image.copy_(data)
        layer.zero_grad(set_to_none=False)
        graph.replay()
        twin = copy.deepcopy(layer)
        twin.zero_grad()
        expected = twin(data)
        expected.square().sum().backward()
        torch.testing.assert_close(y, expected)
        for ours, theirs in zip(layer.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad)


def test_activation_checkpointing():
    layer, x = draw()
    found = found_by(lambda x: checkpoint(layer, x, use_reentrant=False), layer, x)
    torch.testing.assert_close(found, found_by(layer, layer, x))


def test_distributed_data_parallel_has_the_gradients_of_the_bare_layer(process_group):
    layer, x = draw()
    parallel = nn.parallel.DistributedDataParallel(copy.deepcopy(layer))
    for module in (layer, parallel):
        module(x.detach()).square().sum().backward()
    for bare, wrapped in zip(layer.parameters(), parallel.module.parameters(), strict=True):
        torch.testing.assert_close(bare.grad, wrapped.grad)


def test_gradients_of_gradients():
    layer, x = draw()
    first = torch.autograd.grad(layer(x).square().sum(), [*layer.parameters()], create_graph=True)
    (second,) = torch.autograd.grad(sum(g.square().sum() for g in first), x)
    twin, image = copy.deepcopy(layer).double(), x.detach().double().requires_grad_()
    exact = nn.functional.conv2d(image, twin.kernel(), twin.bias, padding=8, groups=40)
    theirs = torch.autograd.grad(exact.square().sum(), [*twin.parameters()], create_graph=True)
    (expected,) = torch.autograd.grad(sum(g.square().sum() for g in theirs), image)
    assert (second.double() - expected).norm() / expected.norm() < 1e-5


def test_positions_that_layers_share():
    owner = ElementPositions((17, 17), "gaussian", (40, 1, 9), device=GPU)
    layers = [draw()[0] for _ in range(2)]
    x = draw()[1]
    shares = owner.shares()
    (layers[0](x, shares) + layers[1](x, shares)).square().sum().backward()
    twin, image = copy.deepcopy(owner).double(), x.detach().double()
    twin.zero_grad()
    exact = twin.shares()
    sum(copy.deepcopy(one).double()(image, exact) for one in layers).square().sum().backward()
    for name in ("positions", "sigma"):
        ours, theirs = getattr(owner, name).grad.double(), getattr(twin, name).grad
        assert (ours - theirs).norm() / theirs.norm() < 1e-5


def test_the_plain_convolution_of_a_layer_computes_the_same():
    layer, x = draw()
    assert_near(dict(y=layer(x)), dict(y=layer.to_conv().double()(x.double())), 5e-6)


@pytest.mark.parametrize("spoilt", ["dtype", "bias", "device"])
def test_what_the_framework_refuses_is_refused(spoilt):
    layer, x = draw()
    bias = layer.bias
    if spoilt == "dtype":
        x = x.half()
    elif spoilt == "device":
        bias = bias.cpu()
    else:
        bias = bias[:3]
    layer._parameters["bias"] = torch.nn.Parameter(bias.detach())
    with pytest.raises(RuntimeError):
        layer(x)


def test_a_stride_is_the_frameworks(entered):
    layer, x = draw()
    layer.stride = 2
    assert layer(x).shape == (2, 40, 10, 11)
    assert not entered
