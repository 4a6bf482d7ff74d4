"""What a layer on a GPU is given to, told without one: tensors that are there in name alone."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from mmdcls.dcls import Dcls2d, DepthwiseConv2d, construction, conv, gpu, kernel
from mmdcls.dcls.construction import LARGEST, construction_why_not, shares_why_not
from mmdcls.dcls.conv.crossovers import BAND_FROM
from mmdcls.dcls.conv.operators import depthwise_why_not

CHANNELS, SIDE = 40, 17
MEASURED = next(iter(BAND_FROM))
MAP, KERNEL = (2, CHANNELS, 19, 21), (CHANNELS, 1, SIDE, SIDE)


@pytest.fixture(autouse=True)
def fake() -> Iterator[None]:
    with FakeTensorMode(), torch.no_grad():
        yield


def on_gpu(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="cuda")


def test_a_measured_card_builds_kernels_in_few_launches(capability):
    assert BAND_FROM.keys() >= construction.MEASURED
    for dtype in (torch.float32, torch.float64):
        positions = on_gpu(2, CHANNELS, 1, 9, dtype=dtype)
        for interpolation in ("bilinear", "bilinear_normalized"):
            assert shares_why_not(positions, None, (SIDE, SIDE), interpolation) is None
        for interpolation in ("triangle", "gaussian"):
            assert shares_why_not(positions, positions, (LARGEST, 5), interpolation) is None
        assert construction_why_not(2, LARGEST, positions) is None


# axes, cells, dtypes of what a kernel is built from, words of the reason
REFUSED = {
    "a line": (1, 9, [torch.float32], "two axes"),
    "a volume": (3, 9, [torch.float32], "two axes"),
    "many cells": (2, LARGEST + 1, [torch.float32], f"up to {LARGEST} cells"),
    "float16": (2, 9, [torch.float16], "float32 or float64"),
    "bfloat16": (2, 9, [torch.bfloat16], "float32 or float64"),
    "two dtypes": (2, 9, [torch.float32, torch.float64], "float32 or float64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_construction_on_gpus_cannot_serve_has_a_reason(case, capability):
    axes, cells, dtypes, words = REFUSED[case]
    sources = [on_gpu(CHANNELS, 1, 9, dtype=dtype) for dtype in dtypes]
    assert words in construction_why_not(axes, cells, *sources, None)


@pytest.mark.parametrize(
    "card, words", [((7, 5), "compute capability 8.0"), ((8, 0), "nobody"), ((12, 0), "nobody")]
)
def test_a_card_that_nobody_measured_builds_kernels_by_the_formulas(card, words, capability):
    capability[0] = card
    assert words in construction_why_not(2, SIDE, on_gpu(CHANNELS, 1, 9))


def test_without_triton_on_amd_and_on_cpus_formulas_build_kernels(monkeypatch, capability):
    assert "on cpu" in construction_why_not(2, SIDE, torch.empty(CHANNELS, 1, 9, device="cpu"))
    source = on_gpu(CHANNELS, 1, 9)
    monkeypatch.setattr(gpu, "HAS_TRITON", False)
    construction.known_why_not.cache_clear()
    assert "pip install triton" in construction_why_not(2, SIDE, source)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    construction.known_why_not.cache_clear()
    assert "AMD" in construction_why_not(2, SIDE, source)


def test_what_follows_tensors_around_gets_formulas_and_the_framework(capability):
    source = torch.empty(KERNEL)
    with forward_ad.dual_level():
        followed = forward_ad.make_dual(source, source)
        assert "torch.func" in depthwise_why_not(on_gpu(*MAP), followed, CHANNELS)
        assert "torch.func" in construction_why_not(2, SIDE, on_gpu(CHANNELS, 1, 9), followed)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("is_channels_last", [True, False])
def test_a_map_of_any_layout_takes_the_band(dtype, is_channels_last, capability):
    x = on_gpu(*MAP, dtype=dtype)
    if is_channels_last:
        x = x.new_empty(MAP[0], *MAP[2:], MAP[1]).permute(0, 3, 1, 2)
    assert depthwise_why_not(x, on_gpu(*KERNEL), CHANNELS, padding=(8, 8)) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_under_autocast_the_band_is_asked_for_what_maps_become(dtype, capability, monkeypatch):
    asked = []
    monkeypatch.setattr(conv.operators, "known_why_not", asked.append)
    torch.set_autocast_enabled("cuda", True)
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_dtype("cuda", dtype)
    try:
        for given in (torch.float32, dtype, torch.float64):
            depthwise_why_not(on_gpu(*MAP, dtype=given), on_gpu(*KERNEL), CHANNELS)
    finally:
        torch.set_autocast_dtype("cuda", before)
        torch.set_autocast_enabled("cuda", False)
    assert [call.dtype for call in asked] == [dtype, dtype, torch.float64]


class Reached(Exception):
    """The computation itself, which cannot be pretended."""


@pytest.fixture
def reached(monkeypatch) -> list[str]:
    """The names of the functions that were to compute."""
    names = []
    places = {
        "depthwise": conv,
        "plain": conv,
        "kernel_on_gpu": kernel,
        "kernel_by_formula": kernel,
        "conv2d": torch.nn.functional,
    }
    for name, module in places.items():

        def stop(*call: object, name: str = name) -> None:
            names.append(name)
            raise Reached

        monkeypatch.setattr(module, name, stop)
    return names


each_card = pytest.mark.parametrize("card", [MEASURED, (8, 6)], ids=["measured", "not measured"])
# A module, and what convolves its maps on a card that was measured and on others.
FORMS = {
    "layer": (partial(Dcls2d, kernel_count=9), "depthwise", "plain"),
    "merged, ways kept": (DepthwiseConv2d, "depthwise", "plain"),
    "merged": (nn.Conv2d, "conv2d", "conv2d"),
}


@each_card
@pytest.mark.parametrize("form", FORMS)
def test_maps_go_by_what_was_measured_and_else_by_the_framework(form, card, capability, reached):
    capability[0] = card
    make, measured, otherwise = FORMS[form]
    module = make(CHANNELS, CHANNELS, SIDE, padding=8, groups=CHANNELS, device="meta")
    convolve = nn.Conv2d._conv_forward if form == "merged" else conv.convolve_as
    with pytest.raises(Reached):
        convolve(module, on_gpu(*MAP), on_gpu(*KERNEL), None)
    assert reached == [measured if card == MEASURED else otherwise]


@each_card
def test_kernels_are_built_by_what_was_measured_and_else_by_the_formula(card, capability, reached):
    capability[0] = card
    shares = (on_gpu(CHANNELS, 1, 9, SIDE),) * 2
    with pytest.raises(Reached):
        kernel.kernel_from_shares(on_gpu(CHANNELS, 1, 9), shares)
    assert reached == ["kernel_on_gpu" if card == MEASURED else "kernel_by_formula"]
