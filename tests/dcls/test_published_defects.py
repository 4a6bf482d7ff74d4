"""Defects of the published layer: each test shows one, and the law that ours obeys instead."""

import pytest
import torch
from DCLS.construct import modules
from torch import Tensor, nn

from helpers.cases import LAYERS, Elements, LargestTensor, draw_elements
from helpers.published import VERSIONS, kernel_axis_of_each_row, published_kernel, published_layer
from mmdcls.dcls import INTERPOLATIONS, ElementPositions, construct_kernel

# What the published layers make in a forward pass is on the CPU, unless they were moved.
pytestmark = pytest.mark.usefixtures("on_cpu")
each_interpolation = pytest.mark.parametrize("interpolation", VERSIONS)
each_axes = pytest.mark.parametrize("axes", [1, 2, 3])


def one_element(interpolation: str, position: list[float], weight: float = 1.0) -> Elements:
    """A single element; sigma as in a new layer."""
    positions = torch.tensor(position).reshape(-1, 1, 1, 1).requires_grad_()
    rule, sigma = INTERPOLATIONS[interpolation], None
    if rule.has_sigma:
        sigma = torch.full_like(positions, rule.initial_sigma).requires_grad_()
    return Elements(torch.tensor([[[weight]]]).requires_grad_(), positions, sigma)


def fullest_cell(kernel: Tensor) -> list[int]:
    return (kernel[0, 0] == kernel.max()).nonzero()[0].tolist()


def gradient_of_positions(kernel: Tensor, elements: Elements) -> Tensor:
    """Of a projection in which no cell weighs as much as another."""
    slope = torch.arange(1.0, kernel.numel() + 1).sqrt().reshape(kernel.shape)
    return torch.autograd.grad((kernel * slope).sum(), elements.positions, retain_graph=True)[0]


def test_published_triangle_never_learns_its_width():
    theirs = published_layer("max", 7, channels=4, count=3)
    theirs(torch.randn(2, 4, 9, 9)).square().sum().backward()
    assert not theirs.SIG.grad.any()

    ours = LAYERS[2](4, 4, 7, groups=4, kernel_count=3, interpolation="triangle")
    ours(torch.randn(2, 4, 9, 9)).square().sum().backward()
    assert ours.sigma.grad.all()


# interpolation, kernel size, where the published element of position 0 stands (None: nowhere)
ASTRAY = [
    ("bilinear_normalized", (3, 7), None),
    ("triangle", (3, 7), None),
    ("gaussian", (3, 7), [2, 1]),
    ("bilinear", (3, 5, 7), [1, 3, 2]),
    ("bilinear_normalized", (3, 5, 7), None),
    ("triangle", (3, 5, 7), None),
    ("gaussian", (3, 5, 7), [2, 2, 1]),
]


@pytest.mark.parametrize("interpolation, size, astray", ASTRAY)
def test_published_elements_miss_the_centre_of_a_non_square_kernel(interpolation, size, astray):
    elements = one_element(interpolation, [0.0] * len(size))
    theirs = published_kernel(elements, size, VERSIONS[interpolation], convert=False)
    if astray is None:
        assert not theirs.any()
    else:
        assert fullest_cell(theirs) == astray

    ours = construct_kernel(*elements, size, interpolation)
    assert fullest_cell(ours) == [cells // 2 for cells in size]


@pytest.mark.parametrize("axes", [2, 3])
@each_interpolation
def test_published_rows_of_positions_address_different_axes_in_different_versions(
    interpolation, axes
):
    size, version = (5,) * axes, VERSIONS[interpolation]
    for row in range(axes):
        position = [0.0] * axes
        position[row] = 1.0
        elements = one_element(interpolation, position)
        theirs = published_kernel(elements, size, version, convert=False)
        assert fullest_cell(theirs).index(3) == kernel_axis_of_each_row(version, axes)[row]

        ours = construct_kernel(*elements, size, interpolation)
        assert fullest_cell(ours).index(3) == row


@pytest.mark.parametrize("interpolation", ["bilinear", "bilinear_normalized", "triangle"])
def test_published_even_kernel_loses_the_element_on_its_upper_limit(interpolation):
    version = VERSIONS[interpolation]
    layer = published_layer(version, 4, axes=1)
    layer.P.data.fill_(9)
    layer.clamp_parameters()
    assert layer.P.item() == 2
    elements = one_element(interpolation, [layer.P.item()])
    theirs = published_kernel(elements, (4,), version)
    assert not theirs.any()
    assert not gradient_of_positions(theirs, elements).any()

    owner = ElementPositions((4,), interpolation, (1, 1, 1))
    owner.positions.data.fill_(9)
    owner.clamp_positions_()
    assert owner.positions.item() == 1
    for position in (1.0, 2.0):
        elements = one_element(interpolation, [position])
        ours = construct_kernel(*elements, (4,), interpolation)
        assert fullest_cell(ours) == [3]
        assert gradient_of_positions(ours, elements).all()


def test_published_even_kernel_has_no_padding_that_keeps_the_size():
    x = torch.randn(1, 1, 8, 8)
    theirs = modules.Dcls2d(1, 1, 1, padding=2, dilated_kernel_size=4, version="gauss")
    assert theirs(x).shape == (1, 1, 9, 9)

    assert LAYERS[2](1, 1, 4, padding="same", kernel_count=1)(x).shape == x.shape


@pytest.mark.parametrize("interpolation", ["bilinear", "bilinear_normalized", "triangle"])
@each_axes
def test_published_element_outside_is_dead_for_ever(axes, interpolation):
    size = (5,) * axes
    elements = one_element(interpolation, [4.0] + [0.3] * (axes - 1))
    order = kernel_axis_of_each_row(VERSIONS[interpolation], axes)
    theirs = published_kernel(elements, size, VERSIONS[interpolation])
    assert sorted(order) == list(range(axes))
    assert not theirs.any()
    assert not gradient_of_positions(theirs, elements).any()

    ours = construct_kernel(*elements, size, interpolation)
    assert ours.sum().item() == pytest.approx(1)
    assert gradient_of_positions(ours, elements).all()


@pytest.mark.parametrize(
    ("interpolation", "difference"),
    [
        # A tenth of the bilinear element falls off the grid.
        ("bilinear", 0.1),
        # Divided by what is left of it, an element of one cell is that cell.
        ("bilinear_normalized", 0.0),
        # Of width 0.5: exp(-2 (n + 0.1)^2) for n = 0, 1, ... over their sum, and exp(-2 n^2).
        ("gaussian", 0.0575),
    ],
)
def test_no_published_release_of_torch_clamps_what_lies_a_tenth_outside(interpolation, difference):
    version = VERSIONS[interpolation]
    outside, border = (
        published_kernel(one_element(interpolation, [position]), (5,), version)
        for position in (2.1, 2.0)
    )
    found = (outside - border).norm() / border.norm()
    assert found.item() == pytest.approx(difference, abs=1e-4)


def test_published_gaussian_outside_fades_instead_of_waiting_at_the_border():
    elements = one_element("gaussian", [40.0])
    theirs = published_kernel(elements, (5,), "gauss")
    assert not theirs.any()
    assert not gradient_of_positions(theirs, elements).any()

    ours = construct_kernel(*elements, (5,), "gaussian")
    assert fullest_cell(ours) == [4]
    assert gradient_of_positions(ours, elements).all()


@pytest.mark.parametrize("interpolation", ["bilinear_normalized", "triangle"])
def test_published_element_on_the_grid_is_frozen(interpolation):
    for position in (-2.0, 0.0, 1.0, 2.0):
        elements = one_element(interpolation, [position])
        theirs = published_kernel(elements, (5,), VERSIONS[interpolation])
        assert not gradient_of_positions(theirs, elements).any()

        ours = construct_kernel(*elements, (5,), interpolation)
        assert gradient_of_positions(ours, elements).all()


def test_published_layers_that_share_positions_part_when_a_checkpoint_is_assigned():
    theirs = nn.ModuleList(published_layer("v1", 5) for _ in range(2))
    theirs[1].P = theirs[0].P
    separate = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    theirs.load_state_dict(separate, assign=True)
    assert theirs[0].P is not theirs[1].P

    owner = ElementPositions((5, 5), "bilinear_normalized", (1, 1, 1))
    ours = nn.ModuleList(
        LAYERS[2](
            1,
            1,
            5,
            kernel_count=1,
            interpolation="bilinear_normalized",
            share_positions=True,
        )
        for _ in range(2)
    )
    stage = nn.ModuleDict(dict(owner=owner, layers=ours))
    separate = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    stage.load_state_dict(separate, assign=True)
    assert [name for name, _ in stage.named_parameters() if "positions" in name] == [
        "owner.positions"
    ]
    kernels = [layer.kernel(owner.shares()) for layer in ours]
    owner.positions.data.add_(0.5)
    for layer, kernel in zip(ours, kernels, strict=True):
        assert not torch.equal(layer.kernel(owner.shares()), kernel)


@each_interpolation
def test_published_layer_stays_behind_when_it_is_moved_after_a_forward(interpolation):
    theirs = published_layer(VERSIONS[interpolation], 5)
    theirs(torch.randn(1, 1, 9, 9))
    with pytest.raises(RuntimeError, match="device"):
        theirs.to("meta")(torch.empty(1, 1, 9, 9, device="meta"))

    ours = LAYERS[2](1, 1, 5, kernel_count=1, interpolation=interpolation)
    for mode in (True, False):
        ours.train(mode)(torch.randn(1, 1, 9, 9))
    assert ours.to("meta")(torch.empty(1, 1, 9, 9, device="meta")).shape == (1, 1, 5, 5)


def test_published_layer_cannot_be_traced_as_one_graph():
    torch.compiler.reset()
    theirs = torch.compile(published_layer("gauss", 5), fullgraph=True, backend="eager")
    with pytest.raises(torch._dynamo.exc.Unsupported):
        theirs(torch.randn(1, 1, 9, 9))
    torch.compiler.reset()

    ours = LAYERS[2](1, 1, 5, kernel_count=1, interpolation="gaussian")
    x = torch.randn(1, 1, 9, 9)
    compiled = torch.compile(ours, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), ours(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_published_bilinear_layer_does_not_run_in_half_precision(dtype):
    x = torch.randn(1, 1, 9, 9, dtype=dtype)
    with pytest.raises(RuntimeError, match="type"):
        published_layer("v0", 5).to(dtype)(x)

    assert LAYERS[2](1, 1, 5, kernel_count=1).to(dtype)(x).dtype == dtype


def test_published_half_precision_layer_places_elements_by_the_quarter():
    elements = Elements(
        *(None if p is None else p.bfloat16() for p in one_element("bilinear_normalized", [12.3]))
    )
    theirs = published_kernel(elements, (31,), "v1")[0, 0]
    assert theirs[27:29].tolist() == [0.75, 0.25]

    ours = construct_kernel(*elements, (31,), "bilinear_normalized")[0, 0]
    # What bfloat16 itself can hold of 12.3 is 12.3125.
    assert ours[27:29].tolist() == [0.6875, 0.3125]


def test_published_layer_takes_an_unknown_version_and_dies_in_forward():
    theirs = published_layer("cubic", 5)
    with pytest.raises(RuntimeError, match="No active exception"):
        theirs(torch.randn(1, 1, 9, 9))

    with pytest.raises(ValueError, match="'cubic' is unknown"):
        LAYERS[2](1, 1, 5, kernel_count=1, interpolation="cubic")


def test_published_flat_layer_stands_upright():
    x = torch.randn(1, 1, 20, 20)
    theirs = modules.Dcls2dK1d(1, 1, 3, padding=(0, 5), dilated_kernel_size=11, flat_dim=0)
    assert theirs(x).shape == (1, 1, 10, 30)

    ours = LAYERS[2](1, 1, (1, 11), padding=(0, 5), kernel_count=3)
    assert ours.kernel().shape == (1, 1, 1, 11)
    assert ours(x).shape == x.shape


@pytest.mark.parametrize("axes", [2, 3])
@each_interpolation
def test_published_construction_holds_every_element_times_every_cell(interpolation, axes):
    size, shape = (7,) * axes, (4, 1, 20)
    cells = torch.Size(shape + size).numel()
    found = {}
    for name, build in dict(
        theirs=lambda e: published_kernel(e, size, VERSIONS[interpolation]),
        ours=lambda e: construct_kernel(*e, size, interpolation),
    ).items():
        elements = draw_elements(size, interpolation, shape=shape)
        with LargestTensor() as largest:
            build(elements).square().sum().backward()
        found[name] = largest.numel
    assert found["theirs"] >= cells > found["ours"]


def test_published_layer_builds_its_kernel_again_in_every_evaluation():
    theirs = published_layer("gauss", 5).eval()
    built = []
    theirs.DCK.register_forward_hook(lambda *args: built.append(args))
    with torch.no_grad():
        for _ in range(3):
            theirs(torch.randn(1, 1, 9, 9))
    assert len(built) == 3
