"""torch.compile(fullgraph=True) and torch.export take a layer as it is."""

from collections.abc import Callable

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import nn
from torch._dynamo import compiled_autograd
from torch._dynamo.backends.common import aot_autograd
from torch.export import Dim

from helpers.cases import autocast, draw_input, draw_layer
from mmdcls.dcls import INTERPOLATIONS

pytestmark = pytest.mark.slow
each_groups = pytest.mark.parametrize("groups", [1, 4], ids=["dense", "depthwise"])
each_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)
each_axes = pytest.mark.parametrize("axes", [1, 2, 3])
OPTIONS = dict(kernel_size=5, padding=2)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def assert_compiled_is_eager(layer: nn.Module, backend: str, x: torch.Tensor) -> None:
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    x = x.detach().requires_grad_()
    sources = [x, *layer.parameters()]
    y, expected = compiled(x), layer(x)
    torch.testing.assert_close(y, expected)
    assert y.stride() == expected.stride()
    torch.testing.assert_close(
        torch.autograd.grad(y.float().square().sum(), sources),
        torch.autograd.grad(expected.float().square().sum(), sources),
    )


@each_interpolation
@each_axes
def test_the_compiled_layer_is_the_eager_one(axes, interpolation):
    layer = draw_layer(axes, interpolation=interpolation, groups=4, **OPTIONS)
    assert_compiled_is_eager(layer, "aot_eager", draw_input(axes))


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="torch writes code that does not compile: 'at::vec' has not been declared",
)
@pytest.mark.parametrize("axes", [2, 3])
def test_the_layer_compiles_to_machine_code(axes):
    layer = draw_layer(axes, interpolation="gaussian", groups=4, **OPTIONS).float()
    assert_compiled_is_eager(layer, "inductor", draw_input(axes).float())


def test_a_compiled_layer_keeps_its_operators(on_cpu):
    seen = set()

    def note(module: torch.fx.GraphModule, inputs: list) -> Callable:
        seen.update(str(node.target) for node in module.graph.nodes)
        return make_boxed_func(module.forward)

    layer, x = draw_layer(groups=4, **OPTIONS), draw_input()
    backend = aot_autograd(fw_compiler=note, bw_compiler=note)
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    sources = [x, *layer.parameters()]
    y, expected = compiled(x), layer(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(
        torch.autograd.grad(y.square().sum(), sources),
        torch.autograd.grad(expected.square().sum(), sources),
    )
    names = ("depthwise_conv2d", "depthwise_conv2d_kernel_gradient")
    assert seen >= {f"mmdcls.{name}.default" for name in names}


@pytest.mark.parametrize("axes", [2, 3])
def test_the_backward_pass_alone_compiles(axes):
    layer, x = draw_layer(axes, groups=4, **OPTIONS), draw_input(axes)
    expected = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    values = layer(x).square().sum()
    with compiled_autograd._enable(torch.compile(backend="aot_eager")):
        values.backward()
    found = [x.grad, *(parameter.grad for parameter in layer.parameters())]
    torch.testing.assert_close(found, list(expected))


@each_groups
@pytest.mark.parametrize("padding_mode", ["reflect", "circular"])
def test_the_compiled_layer_pads_as_the_eager_one(padding_mode, groups):
    layer = draw_layer(groups=groups, kernel_size=4, padding="same", padding_mode=padding_mode)
    assert_compiled_is_eager(layer, "aot_eager", draw_input())


@each_axes
@each_groups
def test_the_compiled_layer_may_run_under_autocast(groups, axes):
    layer = draw_layer(axes, groups=groups, **OPTIONS).float()
    with autocast():
        assert_compiled_is_eager(layer, "aot_eager", draw_input(axes).float())


@each_groups
def test_the_compiled_layer_in_eval_follows_its_parameters(groups):
    layer = draw_layer(groups=groups, interpolation="gaussian", **OPTIONS).eval()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = draw_input().detach()
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(compiled(x), layer(x))
            layer.positions.data.mul_(0.5)


@each_axes
@each_groups
def test_a_compiled_layer_takes_maps_of_any_size(groups, axes):
    layer = draw_layer(axes, groups=groups, **OPTIONS)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for least in (6, 9, 17):
        x = draw_input(axes, least=least)
        torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.parametrize("training", [True, False])
@each_interpolation
def test_the_exported_layer_is_the_layer(interpolation, training):
    layer = draw_layer(groups=4, interpolation=interpolation, **OPTIONS).train(training)
    dynamic = {0: Dim("batch"), 2: Dim("height", min=6), 3: Dim("width", min=6)}
    program = torch.export.export(layer, (draw_input().detach(),), dynamic_shapes=(dynamic,))
    assert set(program.state_dict) == set(layer.state_dict())
    for x in (draw_input(batch=1, least=6), draw_input(batch=3, least=20)):
        torch.testing.assert_close(program.module()(x), layer(x))


@each_groups
@each_axes
def test_an_exported_layer_runs_where_this_package_is_not(axes, groups):
    layer = draw_layer(axes, groups=groups, interpolation="gaussian", **OPTIONS)
    program = torch.export.export(layer, (draw_input(axes).detach(),))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets
    assert not [target for target in targets if "mmdcls" in target]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@each_groups
def test_a_traced_layer_follows_its_parameters(groups):
    layer, x = draw_layer(groups=groups, **OPTIONS).eval(), draw_input().detach()
    with torch.no_grad():
        layer(x)
        traced = torch.jit.trace(layer, x)
        for _ in range(2):
            torch.testing.assert_close(traced(x), layer(x))
            layer.positions.data.mul_(0.5)


@each_groups
def test_a_layer_exports_after_its_kernel_was_cached(groups):
    layer, x = draw_layer(groups=groups, **OPTIONS).eval(), draw_input().detach()
    with torch.no_grad():
        layer(x)
        program = torch.export.export(layer, (x,))
    other = draw_layer(groups=groups, **OPTIONS)
    module = program.module()
    module.load_state_dict(other.state_dict())
    torch.testing.assert_close(module(x), other(x))
