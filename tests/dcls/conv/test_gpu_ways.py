"""What GPUs are asked to do, told without one: the choice of a way, and the reasons against one."""

import pytest
import torch

from mmdcls.dcls import gpu
from mmdcls.dcls.conv.crossovers import BAND_FROM, Call
from mmdcls.dcls.conv.ways import GPU_WAYS, VOLUME_WAYS, choose
from mmdcls.dcls.conv.windows import (
    EXACT,
    TILE,
    WINDOWS,
    band_cannot,
    band_why_not,
    offset_of,
    window_of,
)

GPU = torch.device("cuda", 0)
MEASURED = next(iter(BAND_FROM))


def call(size=(32, 32), kernel_size=(17, 17), dtype=torch.bfloat16, **rest) -> Call:
    padding = rest.pop("padding", tuple(s // 2 for s in kernel_size))
    whole = dict(batch=2, channels=384, padding=padding, device=GPU)
    return Call(size, kernel_size, dtype, **{**whole, **rest})


# What is asked, words of the reason.
REFUSED = {
    "double": (call(dtype=torch.float64), "float64"),
    "stride": (call(stride=(1, 2)), "stride 1"),
    "wide kernel": (call(kernel_size=(17, 107), padding=(8, 49)), "up to 106"),
    "wide kernel in float32": (call(kernel_size=(17, 51), dtype=torch.float32), "up to 42"),
    "small kernel": (call(kernel_size=(3, 3)), "as fast"),
    "empty batch": (call(batch=0), "no values"),
    "no values": (call(size=(16, 32), padding=(0, 0)), "no values"),
    "many elements": (call(size=(2000, 2000), channels=1000), "32 bits"),
    "many rows": (call(size=(1, EXACT * TILE), batch=1, channels=1), f"{EXACT} rows"),
    "many channels": (call(size=(1, 1), channels=70000), "65535 channels"),
    "on the CPU": (call(device=torch.device("cpu")), "on cpu"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_band_cannot_serve_has_a_reason_and_goes_to_the_framework(case, capability):
    asked, words = REFUSED[case]
    assert words in band_why_not(asked)
    assert band_cannot(asked) == (None if case == "small kernel" else band_why_not(asked))
    if asked.device == GPU:
        for computation, ways in GPU_WAYS.items():
            assert choose(computation, asked) is next(iter(ways.values())).run


@pytest.mark.parametrize("dtype", WINDOWS, ids=str)
def test_a_large_kernel_on_a_measured_card_takes_the_band(dtype, capability):
    assert BAND_FROM[MEASURED].keys() == WINDOWS.keys()
    for size in ((7, 7), (16, 16), (128, 128), (800, 1333)):
        for kernel_size in ((17, 17), (23, 23), (42, 31)):
            asked = call(size, kernel_size, dtype)
            assert band_why_not(asked) is None
            for computation, ways in GPU_WAYS.items():
                assert choose(computation, asked) is ways["band"].run


@pytest.mark.parametrize(
    "other, words", [((7, 5), "compute capability 8.0"), ((8, 6), "nobody"), ((12, 0), "nobody")]
)
def test_a_card_that_nobody_measured_keeps_the_framework(other, words, capability):
    capability[0] = other
    assert words in band_why_not(call())
    # A profile may time it there nonetheless.
    assert (band_cannot(call()) is None) == (words == "nobody")


def test_volumes_go_by_their_own_ways(capability):
    for computation, ways in VOLUME_WAYS.items():
        asked = call((8, 16, 16), (3, 5, 5), stride=(1, 1, 1))
        assert choose(computation, asked) is ways["taps"].run


def test_without_triton_or_on_amd_the_framework_serves(monkeypatch):
    monkeypatch.setattr(gpu, "HAS_TRITON", False)
    for found, words in ((None, "none"), ("3.2.0", "3.2.0")):
        monkeypatch.setattr(gpu, "TRITON", found)
        assert words in band_why_not(call()) and "pip install" in band_why_not(call())
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert "AMD" in band_why_not(call())


@pytest.mark.parametrize("dtype", WINDOWS, ids=str)
def test_a_window_holds_all_that_its_outputs_see_and_starts_on_16_bytes(dtype):
    for padding in range(60):
        for width in range(1, 107):
            window = window_of(width, padding, dtype)
            seen = offset_of(padding) + TILE + width - 1
            assert (padding + offset_of(padding)) % 8 == 0
            assert (window is None) == (seen > max(WINDOWS[dtype]))
            assert window is None or seen <= window
