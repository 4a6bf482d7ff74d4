"""Half-precision modules and autocast; kernels are built in float32 at least."""

import pytest
import torch

from helpers.cases import LAYERS, autocast, draw_input, draw_layer
from mmdcls.dcls import INTERPOLATIONS, construct_kernel

LOW = [torch.bfloat16, torch.float16]
each_low = pytest.mark.parametrize("dtype", LOW, ids=str)
each_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)
each_axes = pytest.mark.parametrize("axes", [1, 2, 3])
each_groups = pytest.mark.parametrize("groups", [1, 2, 4])


@each_groups
@each_low
@each_interpolation
@each_axes
def test_a_module_in_half_precision_runs_and_learns(axes, interpolation, dtype, groups):
    layer = draw_layer(axes, interpolation=interpolation, groups=groups, padding=2).to(dtype)
    x = draw_input(axes).detach().to(dtype).requires_grad_()
    y = layer(x)
    y.float().square().mean().backward()
    exact = layer.to_conv().double()(x.double())
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), exact, rtol=0.02, atol=0.05)
    for tensor in (x, *layer.parameters()):
        assert tensor.grad.dtype == dtype
        assert tensor.grad.isfinite().all() and tensor.grad.any()
    layer.eval()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), y, rtol=0.02, atol=0.02)


@each_low
@each_interpolation
@each_axes
def test_a_half_precision_module_rounds_its_kernel_only_at_the_end(axes, interpolation, dtype):
    layer = draw_layer(axes, kernel_size=31 if axes == 1 else 5, interpolation=interpolation)
    layer.to(dtype)
    wide = [None if p is None else p.float() for p in (layer.weight, layer.positions, layer.sigma)]
    kernel = construct_kernel(*wide, layer.kernel_size, interpolation)
    assert torch.equal(layer.kernel(), kernel.to(dtype))


@each_low
@each_interpolation
@each_axes
def test_autocast_leaves_the_kernel_as_it_is(axes, interpolation, dtype):
    layer = draw_layer(axes, kernel_size=(4, 5, 3)[:axes], interpolation=interpolation).float()
    expected = layer.kernel()
    with autocast(dtype):
        kernel = layer.kernel()
        shares = layer.shares()
    assert kernel.dtype == torch.float32
    assert torch.equal(kernel, expected)
    assert all(map(torch.equal, shares, layer.shares()))


@pytest.mark.parametrize("training", [True, False])
@each_groups
@each_low
@each_axes
def test_autocast_treats_the_layer_as_the_plain_convolution(axes, dtype, groups, training):
    layer = draw_layer(axes, groups=groups, padding=2).float().train(training)
    plain = layer.to_conv()
    x = draw_input(axes).float()
    for with_gradient in (True, False):
        with torch.set_grad_enabled(with_gradient), autocast(dtype):
            y, expected = layer(x), plain(x)
        assert y.dtype == expected.dtype == dtype
        assert y.is_contiguous()
        torch.testing.assert_close(y, expected, rtol=0.02, atol=0.02)


@each_groups
@each_low
def test_gradients_under_autocast_are_close_to_those_without(dtype, groups):
    layer = draw_layer(groups=groups, interpolation="gaussian", padding=2).float()
    x = draw_input().float()

    def gradients() -> dict:
        names, parameters = zip(*layer.named_parameters(), strict=True)
        return dict(
            zip(
                names,
                torch.autograd.grad(layer(x).float().square().mean(), parameters),
                strict=True,
            )
        )

    expected = gradients()
    with autocast(dtype):
        found = gradients()
    for name, grad in found.items():
        assert grad.dtype == torch.float32
        error = (grad - expected[name]).norm() / expected[name].norm()
        assert error < 0.03, name


@each_groups
def test_autocast_leaves_float64_alone_as_it_does_for_the_plain_convolution(groups):
    layer, x = draw_layer(groups=groups), draw_input()
    expected = layer(x)
    with autocast():
        assert layer.to_conv()(x).dtype == layer(x).dtype == torch.double
        torch.testing.assert_close(layer(x), expected)


@each_low
def test_a_kernel_cached_under_autocast_serves_without_it_and_the_reverse(dtype):
    layer, x = draw_layer(groups=4).float().eval(), draw_input().float()
    with torch.no_grad():
        with autocast(dtype):
            inside = layer(x)
        outside = layer(x)
        with autocast(dtype):
            assert torch.equal(layer(x), inside)
    assert outside.dtype == torch.float32
    torch.testing.assert_close(outside, layer(x))


@each_low
@each_interpolation
def test_positions_may_stay_in_float32_beside_a_half_precision_weight(interpolation, dtype):
    layer = draw_layer(interpolation=interpolation).float()
    expected = layer.kernel()
    layer.weight.data = layer.weight.data.to(dtype)
    assert layer.kernel().dtype == dtype
    torch.testing.assert_close(layer.kernel().float(), expected, rtol=0.02, atol=0.02)


def test_a_float64_weight_keeps_its_precision_beside_float32_positions():
    layer = LAYERS[2](4, 4, 5, kernel_count=3)
    weight = layer.weight.double() + 1e-12
    positions = torch.zeros_like(layer.positions)
    kernel = construct_kernel(weight, positions, None, (5, 5), "bilinear")
    # Of what is added, which may cancel out: GPUs add in another order.
    error = (kernel[..., 2, 2] - weight.sum(-1)).abs()
    assert (error <= 1e-15 * weight.abs().sum(-1)).all()
