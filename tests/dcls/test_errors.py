"""Bad input is refused with one sentence: what was given, and what is allowed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from helpers.cases import autocast
from mmdcls.dcls import INTERPOLATIONS, Dcls1d, Dcls2d, Dcls3d, ElementPositions, construct_kernel

NAMES = tuple(INTERPOLATIONS)
WHOLE = "whole number of at least"


def layer(**kwargs: Any) -> Callable[[], Dcls2d]:
    arguments = dict(in_channels=4, out_channels=4, kernel_size=5, kernel_count=3)
    return lambda: Dcls2d(**{**arguments, **kwargs})


def kernel(
    weight: tuple = (4, 1, 3),
    positions: tuple = (2, 4, 1, 3),
    sigma: tuple | None = None,
    kernel_size: Any = (5, 5),
    interpolation: str = "bilinear",
) -> Callable[[], torch.Tensor]:
    return lambda: construct_kernel(
        torch.zeros(weight),
        torch.zeros(positions),
        None if sigma is None else torch.zeros(sigma),
        kernel_size,
        interpolation,
    )


def shared_without_shares() -> None:
    layer(share_positions=True)()(torch.zeros(1, 4, 9, 9))


def shares_of(kernel_size: tuple, element_shape: tuple) -> Callable[[], None]:
    def run() -> None:
        owner = ElementPositions(kernel_size, "bilinear", element_shape)
        shared = Dcls2d(4, 4, 5, groups=4, kernel_count=3, share_positions=True)
        shared(torch.zeros(1, 4, 9, 9), owner.shares())

    return run


# a call, words of the message
REFUSED = {
    "unknown interpolation": (layer(interpolation="cubic"), ("'cubic'", *NAMES)),
    "published name of an interpolation": (layer(interpolation="gauss"), ("'gauss'", *NAMES)),
    "no interpolation": (layer(interpolation=None), ("None", *NAMES)),
    "list of an interpolation": (layer(interpolation=["gaussian"]), ("['gaussian']", *NAMES)),
    "unknown interpolation of an owner": (
        lambda: ElementPositions((5, 5), "cubic", (4, 1, 3)),
        ("'cubic'", *NAMES),
    ),
    "no elements": (layer(kernel_count=0), ("kernel_count=0", WHOLE, "1")),
    "negative kernel_count": (layer(kernel_count=-3), ("kernel_count=-3", WHOLE)),
    "fractional kernel_count": (layer(kernel_count=2.5), ("kernel_count=2.5", WHOLE)),
    "boolean kernel_count": (layer(kernel_count=True), ("kernel_count=True", WHOLE)),
    "text for kernel_count": (layer(kernel_count="3"), ("kernel_count='3'", WHOLE)),
    "dilation": (layer(dilation=2), ("dilation=(2, 2)", "must be 1", "kernel_size")),
    "dilation of one axis": (layer(dilation=(1, 3)), ("dilation=(1, 3)", "must be 1")),
    "no dilation at all": (layer(dilation=0), ("dilation=0", WHOLE, "1")),
    "in_channels and groups": (layer(groups=3), ("in_channels=4", "divisible by groups=3")),
    "out_channels and groups": (
        layer(out_channels=5, groups=2),
        ("out_channels=5", "divisible by groups=2"),
    ),
    "more groups than channels": (layer(groups=8), ("in_channels=4", "groups=8")),
    "no groups": (layer(groups=0), ("groups=0", WHOLE)),
    "no channels": (layer(in_channels=0), ("in_channels=0", WHOLE)),
    "fractional channels": (layer(out_channels=4.0), ("out_channels=4.0", WHOLE)),
    "empty kernel": (layer(kernel_size=0), ("kernel_size=0", WHOLE, "1", "2 of them")),
    "kernel of other axes": (layer(kernel_size=(5, 5, 5)), ("(5, 5, 5)", "2 of them")),
    "text for kernel_size": (layer(kernel_size="55"), ("'55'", "2 of them")),
    "no kernel_size": (layer(kernel_size=None), ("kernel_size=None", WHOLE)),
    "fraction in kernel_size": (layer(kernel_size=(5, 2.5)), ("(5, 2.5)", WHOLE)),
    "no stride": (layer(stride=0), ("stride=0", WHOLE, "1")),
    "negative padding": (layer(padding=-1), ("padding=-1", WHOLE, "0")),
    "padding of other axes": (layer(padding=(1, 1, 1)), ("(1, 1, 1)", "2 of them")),
    "unknown padding": (layer(padding="full"), ("'full'", "'same'", "'valid'", "numbers")),
    "same padding and stride": (
        layer(padding="same", stride=2),
        ("padding='same'", "stride 1", "stride=(2, 2)"),
    ),
    "unknown padding_mode": (
        layer(padding_mode="constant"),
        ("'constant'", "zeros", "reflect", "replicate", "circular"),
    ),
    "size of a sequence in one axis": (
        lambda: Dcls1d(4, 4, (5, 5), kernel_count=3),
        ("(5, 5)", "1 of them"),
    ),
    "size of a plane in three axes": (
        lambda: Dcls3d(4, 4, (5, 5), kernel_count=3),
        ("(5, 5)", "3 of them"),
    ),
    "shared positions without shares": (shared_without_shares, ("Dcls2d", "owner.shares()")),
    "shares of another kernel size": (
        shares_of((7, 7), (4, 1, 3)),
        ("(4, 1, 3, 7)", "(4, 1, 3, 5)", "kernel_size=(5, 5)"),
    ),
    "shares of one channel": (
        shares_of((5, 5), (1, 1, 3)),
        ("(1, 1, 3, 5)", "(4, 1, 3, 5)", "element_shape=(4, 1, 3)"),
    ),
    "shares of other axes": (shares_of((5,), (4, 1, 3)), ("[(4, 1, 3, 5)]", "(5, 5)")),
    "construct: unknown interpolation": (kernel(interpolation="v0"), ("'v0'", *NAMES)),
    "construct: positions of other elements": (
        kernel(positions=(2, 4, 1, 2)),
        ("(2, 4, 1, 2)", "(4, 1, 3)"),
    ),
    "construct: positions of one channel": (
        kernel(positions=(2, 1, 1, 3)),
        ("(2, 1, 1, 3)", "(4, 1, 3)"),
    ),
    "construct: positions of other axes": (
        kernel(positions=(3, 4, 1, 3)),
        ("axes = 2", "(3, 4, 1, 3)", "(5, 5)"),
    ),
    "construct: weight without a dimension": (
        kernel(weight=(1, 3), positions=(2, 1, 3)),
        ("(axes, out, in/groups, kernel_count)", "(2, 1, 3)"),
    ),
    "construct: no sigma": (
        kernel(interpolation="gaussian"),
        ("'gaussian'", "sigma", "(2, 4, 1, 3)", "None"),
    ),
    "construct: sigma of another shape": (
        kernel(interpolation="triangle", sigma=(1, 4, 1, 3)),
        ("'triangle'", "(2, 4, 1, 3)", "(1, 4, 1, 3)"),
    ),
    "construct: sigma that nothing needs": (
        kernel(sigma=(2, 4, 1, 3)),
        ("'bilinear'", "sigma=None"),
    ),
    "construct: a number for kernel_size": (kernel(kernel_size=5), ("kernel_size=5", "per axis")),
    "construct: an empty kernel": (kernel(kernel_size=(5, 0)), ("(5, 0)", "at least 1")),
    "construct: a fraction in kernel_size": (kernel(kernel_size=(5, 5.5)), ("5.5", "whole")),
    "construct: truth for kernel_size": (kernel(kernel_size=(True, True)), ("True", "whole")),
    "construct: no axes": (kernel(kernel_size=()), ("kernel_size=()", "per axis")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_with_what_was_given_and_what_is_allowed(case):
    call, words = REFUSED[case]
    with pytest.raises((ValueError, RuntimeError)) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_a_row_of_the_table_of_interpolations_is_always_allowed():
    assert NAMES
    for name in NAMES:
        assert layer(interpolation=name)().interpolation == name


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("shape", [(2, 3, 9, 9), (2, 4, 9), (2, 4, 3, 9), (4, 9, 9, 9, 9)])
def test_an_input_that_does_not_fit_is_refused_as_by_the_plain_convolution(shape, groups):
    bad, built = torch.zeros(shape), layer(groups=groups)()
    with pytest.raises(RuntimeError) as theirs:
        built.to_conv()(bad)
    with pytest.raises(RuntimeError) as ours:
        built(bad)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("is_cast", [False, True])
def test_an_input_of_another_dtype_is_refused_as_by_the_plain_convolution(dtype, groups, is_cast):
    bad, built = torch.zeros(1, 4, 9, 9, dtype=dtype), layer(groups=groups)()
    with autocast(torch.bfloat16, enabled=is_cast):
        if is_cast and dtype == torch.bfloat16:
            assert built(bad).dtype == built.to_conv()(bad).dtype
            return
        with pytest.raises(RuntimeError) as theirs:
            built.to_conv()(bad)
        with pytest.raises(RuntimeError) as ours:
            built(bad)
    assert str(ours.value) == str(theirs.value)
