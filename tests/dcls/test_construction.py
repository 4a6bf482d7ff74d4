"""Kernels built in few launches are those of the formulas."""

from dataclasses import replace

import pytest
import torch

from helpers.cases import (
    PLACES,
    assert_same_values_and_gradients,
    draw_elements,
    draw_layer,
    gradients,
    poisoned,
)
from mmdcls.dcls import INTERPOLATIONS, construct_kernel, construction, kernel, reference
from mmdcls.dcls.interpolation import gaussian_share

SIZES = [(5, 5), (4, 7), (1, 6), (1, 1), (17, 17)]
each_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)
each_size = pytest.mark.parametrize("size", SIZES, ids=str)


@pytest.fixture(autouse=True)
def fused(monkeypatch) -> None:
    """As on a GPU where nothing traces."""
    for module in (kernel, construction):
        monkeypatch.setattr(module, "construction_why_not", lambda *call: None)
    monkeypatch.setattr(construction, "passes_by", lambda tensor: True)


def by_formula(weight, positions, sigma, size, interpolation) -> torch.Tensor:
    shares = kernel.shares_by_formula(positions, sigma, size, interpolation)
    return kernel.kernel_by_formula(weight, shares)


def leaves(elements) -> dict[str, torch.Tensor]:
    return {name: t for name, t in elements._asdict().items() if t is not None}


@pytest.mark.parametrize("place", PLACES)
@each_size
@each_interpolation
def test_the_kernel_and_its_gradients_are_those_of_the_formulas(
    interpolation, size, place, triton_device
):
    elements = draw_elements(size, interpolation, place, (3, 2, 11), triton_device)
    sources = leaves(elements)
    with poisoned():
        ours = construct_kernel(*elements, size, interpolation)
        found = gradients(ours, sources)
    theirs = by_formula(*elements, size, interpolation)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(found, gradients(theirs, sources))


def test_an_interpolation_that_has_no_kernel_is_computed_by_the_formula(monkeypatch):
    rule = replace(INTERPOLATIONS["gaussian"], share=lambda *a: gaussian_share(*a) ** 2)
    monkeypatch.setitem(INTERPOLATIONS, "squared", rule)
    weight, positions, sigma = draw_elements((5, 5), "gaussian")
    said = construction.shares_why_not(positions, sigma, (5, 5), "squared")
    assert said == "they have no kernel for interpolation='squared'"
    shares = kernel.element_shares(positions, sigma, (5, 5), "squared")
    torch.testing.assert_close(
        shares, kernel.shares_by_formula(positions, sigma, (5, 5), "squared")
    )


@each_interpolation
def test_the_kernel_is_that_of_the_reference(interpolation, triton_device):
    elements = draw_elements((4, 5), interpolation, shape=(2, 1, 3), device=triton_device)
    ours = construct_kernel(*elements, (4, 5), interpolation)
    on_cpu = [None if t is None else t.cpu() for t in elements]
    theirs = reference.construct_kernel(*on_cpu, (4, 5), interpolation)
    torch.testing.assert_close(ours.cpu(), theirs)


@each_interpolation
def test_in_float32_it_rounds_no_more_than_the_formulas(interpolation, triton_device):
    elements = draw_elements((17, 17), interpolation, shape=(3, 1, 34), device=triton_device)
    low = [None if t is None else t.detach().float().requires_grad_() for t in elements]
    ours = construct_kernel(*low, (17, 17), interpolation)
    theirs = by_formula(*[None if t is None else t.double() for t in low], (17, 17), interpolation)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@each_interpolation
def test_positions_that_are_no_numbers(interpolation, value, triton_device):
    elements = draw_elements((4, 5), interpolation, shape=(3, 1, 2), device=triton_device)
    elements.positions.data[0, 1] = value
    ours = construct_kernel(*elements, (4, 5), interpolation)
    theirs = by_formula(*elements, (4, 5), interpolation)
    torch.testing.assert_close(ours, theirs, equal_nan=True)
    sources = leaves(elements)
    if value == value:
        torch.testing.assert_close(gradients(ours, sources), gradients(theirs, sources))


def test_sigma_of_zero_and_elements_on_their_kinks(triton_device):
    for interpolation in ("triangle", "gaussian"):
        elements = draw_elements((4, 5), interpolation, "on the grid", device=triton_device)
        elements.sigma.data.zero_()
        ours = construct_kernel(*elements, (4, 5), interpolation)
        theirs = by_formula(*elements, (4, 5), interpolation)
        sources = leaves(elements)
        torch.testing.assert_close(gradients(ours, sources), gradients(theirs, sources))


@each_interpolation
def test_gradients_of_gradients(interpolation, triton_device):
    elements = draw_elements((3, 4), interpolation, device=triton_device)
    sources = [t for t in elements if t is not None]

    def second(construct) -> tuple[torch.Tensor, ...]:
        dense = construct(*elements, (3, 4), interpolation)
        first = torch.autograd.grad(dense.pow(3).sum(), sources, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), sources)

    torch.testing.assert_close(second(construct_kernel), second(by_formula))


def test_shares_are_shared_by_layers(triton_device):
    owner = draw_layer(kernel_size=5, groups=4, interpolation="gaussian").to(triton_device)
    layer = draw_layer(kernel_size=5, groups=4, share_positions=True).to(triton_device)
    shares = owner.shares()
    (owner.kernel(shares) * 2 + layer.kernel(shares)).sum().backward()
    found = owner.positions.grad.clone(), owner.sigma.grad.clone()
    owner.positions.grad = owner.sigma.grad = None
    expected = kernel.shares_by_formula(owner.positions, owner.sigma, (5, 5), "gaussian")
    both = (kernel.kernel_by_formula(one.weight, expected) for one in (owner, layer))
    (next(both) * 2 + next(both)).sum().backward()
    torch.testing.assert_close(found, (owner.positions.grad, owner.sigma.grad))


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_the_operators_keep_the_rules_of_torch_and_compute_the_same(
    interpolation, triton_device, monkeypatch
):
    elements = draw_elements((4, 5), interpolation, device=triton_device)
    sources = leaves(elements)
    expected = construct_kernel(*elements, (4, 5), interpolation)
    monkeypatch.setattr(construction, "passes_by", lambda tensor: False)
    ours = construct_kernel(*elements, (4, 5), interpolation)
    assert_same_values_and_gradients(ours, expected, sources)
    checks = dict(test_utils=("test_schema", "test_autograd_registration", "test_faketensor"))
    arguments = elements.positions, elements.sigma, [4, 5], interpolation
    torch.library.opcheck(construction.fused_shares, arguments, **checks)
    shares = kernel.shares_by_formula(elements.positions, elements.sigma, (4, 5), interpolation)
    torch.library.opcheck(construction.fused_kernel, (elements.weight, *shares), **checks)
