"""Kernels that networks draw: their start, their mask, and that they are what their papers say."""

import math

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmdcls.dcls import merged
from mmdcls.study.cells import config_of
from projects.kernel_makers.kernel_makers import (
    GaussianMask,
    GeneratedConv2d,
    Magnet,
    Siren,
    ckconv,
    flexconv,
)
from projects.kernel_makers.kernel_makers.layers import NORM, neutral_hidden
from projects.position_study import study
from projects.position_study.tables import DATA

MAKERS = dict(ckconv=ckconv, flexconv=flexconv)
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def moved(layer: GeneratedConv2d) -> GeneratedConv2d:
    """In float64, and away from its start, where some parameters are 0 or alike."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return layer.double()


@pytest.mark.parametrize(
    "layer",
    [
        lambda: ckconv(8, omega_0=5.0),
        lambda: ckconv(8, kernel_size=7, omega_0=40.0),
        lambda: flexconv(8),
        lambda: flexconv(8, kernel_size=33, omega_0=25.6, sigma=0.075),
        lambda: flexconv(8, sigma=3.0),
    ],
)
@torch.no_grad()
def test_kernels_start_with_the_norm_of_plain_ones(layer):
    norms = layer().kernel().flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.full((8,), NORM))
    plain = torch.nn.Conv2d(4000, 4000, 7, groups=4000).weight.flatten(1)
    assert plain.square().sum(1).mean() == pytest.approx(NORM**2, rel=0.02)


@pytest.mark.parametrize("omega_0", [10.0, 30.0])
@torch.no_grad()
def test_sines_start_with_the_variances_of_their_paper(omega_0):
    network = Siren(2, 400, 200, omega_0)
    axis = torch.linspace(-1, 1, 33)
    places = torch.cartesian_prod(axis, axis)
    first, second, last = network.layers
    values = torch.sin(omega_0 * first(places))
    assert values.var() == pytest.approx(1 / 2, rel=0.05)
    assert (omega_0 * (second(values) - second.bias)).var() == pytest.approx(1, rel=0.1)
    assert network(places).var() == pytest.approx(1 / omega_0**2, rel=0.1)


@pytest.mark.parametrize(("depth", "reach"), [(0, 1.0), (1, 0.25), (3, 0.5)])
@torch.no_grad()
def test_filters_start_as_their_paper_says(depth, reach):
    network = Magnet(2, 1, 5000, omega_0=20.0, reach=reach)
    filter = network.filters[depth]
    # The mean and the variance of a Gamma distribution of rate 1 are its shape.
    assert filter.gamma.mean() == pytest.approx(6 / (depth + 1), rel=0.05)
    assert filter.gamma.var() == pytest.approx(6 / (depth + 1), rel=0.1)
    # Uniform up to the bound, which all but reaches it.
    slopes = filter.weight / filter.gamma
    bounds = (filter.mu, reach), (filter.bias, math.pi), (slopes, 20 / 2 / math.sqrt(2))
    for values, bound in bounds:
        assert 0.99 * bound < values.abs().max() <= bound * (1 + 1e-5)


MASKS = [
    (17, (0.15, 0.15), (0.0, 0.0)),
    (17, (0.5, 0.1), (0.0, 0.0)),
    (17, (0.2, 0.3), (0.31, -0.2)),
    (9, (-0.2, 0.2), (0.0, 0.1)),
    (17, (5.0, 5.0), (0.0, 0.0)),
    (17, (1e-3, 1e-3), (0.03, 0.0)),
    (1, (0.1, 0.1), (0.0, 0.0)),
]


@pytest.mark.parametrize(("size", "sigma", "mean"), MASKS)
def test_a_mask_leaves_out_what_is_below_its_threshold_and_no_more(size, sigma, mean):
    layer = flexconv(2, kernel_size=size)
    mask, grid = layer.mask, layer.grid(size)
    with torch.no_grad():
        mask.sigma.copy_(torch.tensor(sigma))
        mask.mean.copy_(torch.tensor(mean))
        rows, columns = mask.margins(grid)
        values = mask(grid)
        kernel = layer.kernel()
        mask.threshold = 0.0
        whole = layer.kernel()
    assert kernel.shape[2:] == (size - 2 * rows, size - 2 * columns)
    kept = whole[:, :, rows : size - rows, columns : size - columns]
    torch.testing.assert_close(kernel, kept, rtol=1e-5, atol=1e-9)
    for margin, along in ((rows, values), (columns, values.T)):
        assert not (along[:margin] >= 0.1).any()
        assert not (along[size - margin :] >= 0.1).any()
        ends = along[[margin, size - 1 - margin]]
        assert (ends >= 0.1).any() or margin == size // 2


@pytest.mark.parametrize(("size", "sigma"), [(33, 0.075), (17, 0.15)])
def test_masks_start_at_five_cells_as_published(size, sigma):
    assert flexconv(2, kernel_size=size, sigma=sigma).kernel().shape[2:] == (5, 5)
    # Half of its width is 2.146 sigma.
    edge = GaussianMask(1, sigma)(torch.tensor([[2.146 * sigma]]))
    assert edge.item() == pytest.approx(0.1, rel=1e-3)


@every_maker
def test_the_gradient_reaches_every_parameter(make):
    layer = moved(make(6))
    layer(torch.randn(2, 6, 20, 20).double()).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name
    names = {name for name, _ in layer.named_parameters()}
    assert make is ckconv or {"mask.mean", "mask.sigma"} <= names


def linear(layer: torch.nn.Linear, values: list[float]) -> list[float]:
    """weight = norm * direction / |direction| where the layer is weight-normalised."""
    if hasattr(layer, "parametrizations"):
        parts = layer.parametrizations.weight
        norms, rows = parts.original0.flatten().tolist(), parts.original1.tolist()
        rows = [
            [g * v / math.sqrt(sum(u * u for u in row)) for v in row]
            for g, row in zip(norms, rows, strict=True)
        ]
    else:
        rows = layer.weight.tolist()
    return [
        sum(w * v for w, v in zip(row, values, strict=True)) + b
        for row, b in zip(rows, layer.bias.tolist(), strict=True)
    ]


def drawn(network: Siren | Magnet, place: list[float]) -> list[float]:
    """The values at one place, number by number."""
    if isinstance(network, Siren):
        first, second, last = network.layers
        values = [math.sin(network.omega_0 * v) for v in linear(first, place)]
        values = [math.sin(network.omega_0 * v) for v in linear(second, values)]
        return linear(last, values)
    filters = []
    for filter in network.filters:
        units = zip(
            *(p.tolist() for p in (filter.gamma, filter.mu, filter.weight, filter.bias)),
            strict=True,
        )
        row = []
        for gamma, mu, weight, bias in units:
            exponent = sum((gamma[a] * (place[a] - mu[a])) ** 2 for a in range(2)) / 2
            phase = sum(weight[a] * place[a] for a in range(2)) + bias
            row.append(math.exp(-exponent) * math.sin(phase))
        filters.append(row)
    values = filters[0]
    for layer, row in zip(network.layers, filters[1:], strict=False):
        values = [f * v for f, v in zip(row, linear(layer, values), strict=True)]
    return linear(network.layers[-1], values)


@every_maker
def test_layers_are_what_their_papers_say_number_by_number(make):
    channels, size, height, width = 2, 5, 6, 4
    layer = moved(make(channels, kernel_size=size))
    x = torch.randn(1, channels, height, width).double()
    places = [-1 + 2 * i / (size - 1) for i in range(size)]
    expected = torch.empty_like(x)
    kernels = {}
    for row, down in enumerate(places):
        for column, right in enumerate(places):
            values, window = drawn(layer.network, [down, right]), 1.0
            if layer.mask is not None:
                centre, sigma = layer.mask.mean.tolist(), layer.mask.sigma.tolist()
                steps = zip((down, right), centre, sigma, strict=True)
                window = math.exp(-sum(((p - m) / s) ** 2 for p, m, s in steps) / 2)
            kernels[row - 2, column - 2] = [
                v * s * window for v, s in zip(values, layer.scale.tolist(), strict=True)
            ]
    # Sizes of the cropped kernel are a law of their own.
    reach = [side // 2 for side in layer.kernel().shape[2:]]
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                total = layer.bias[c].item()
                for (down, right), values in kernels.items():
                    inside = 0 <= i + down < height and 0 <= j + right < width
                    if inside and abs(down) <= reach[0] and abs(right) <= reach[1]:
                        total += values[c] * x[0, c, i + down, j + right].item()
                expected[0, c, i, j] = total
    torch.testing.assert_close(layer(x), expected, rtol=1e-9, atol=1e-9)


@every_maker
@pytest.mark.parametrize(("coarse", "fine", "step"), [(17, 33, 2), (9, 33, 4), (5, 17, 4)])
def test_a_kernel_at_another_resolution_is_the_same_function(make, coarse, fine, step):
    layer = moved(make(4))
    if layer.mask is not None:
        layer.mask.threshold = 0.0
    few, many = layer.kernel(coarse), layer.kernel(fine)
    torch.testing.assert_close(many[..., ::step, ::step], few, rtol=1e-9, atol=1e-12)


@every_maker
def test_autocast_changes_what_is_convolved_and_no_kernel(make):
    layer = make(4)
    with torch.autocast("cpu", torch.bfloat16):
        kernel = layer.kernel()
        assert layer(torch.randn(1, 4, 9, 9)).dtype == torch.bfloat16
    assert torch.equal(kernel, layer.kernel())


@every_maker
def test_a_layer_becomes_the_plain_convolution_it_equals(make):
    layer = moved(make(5))
    x = torch.randn(2, 5, 19, 23).double()
    for conv in (layer.to_conv(), layer.to_conv(trim=True), merged(layer)):
        assert type(conv) is torch.nn.Conv2d
        torch.testing.assert_close(conv(x), layer(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("network", [Siren, Magnet])
@pytest.mark.parametrize("channels", [16, 32, 64, 128])
def test_no_other_width_comes_closer_to_the_parameters_of_a_dense_7x7(network, channels):
    def size(hidden: int) -> int:
        built = network(2, channels, hidden, omega_0=10.0)
        return sum(parameter.numel() for parameter in built.parameters())

    hidden = neutral_hidden(network, channels)
    assert size(hidden) == network.parameter_count(2, channels, hidden)
    misses = {h: abs(size(h) - 49 * channels) for h in (hidden - 1, hidden, hidden + 1)}
    assert min(misses, key=misses.get) == hidden


@pytest.mark.parametrize("data", DATA)
def test_arms_have_the_same_parameters_in_every_network(data):
    given = ["makers", "--recipe", "uniform_travel-1", "--seeds", "1", "--data", data]
    sizes = {}
    for cell in study.cells_of(["makers"], study.parse_arguments(given)):
        cfg = config_of(cell)
        init_default_scope(cfg.default_scope)
        backbone = MODELS.build(cfg.model.backbone)
        sizes[cell.arm] = sum(parameter.numel() for parameter in backbone.parameters())
    for arm, size in sizes.items():
        assert abs(size / sizes["dense-7"] - 1) < 0.01, arm


def test_even_sizes_are_refused():
    with pytest.raises(ValueError, match="kernel_size=16 must be odd"):
        ckconv(4, kernel_size=16)
