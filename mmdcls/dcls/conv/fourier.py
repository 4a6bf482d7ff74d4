"""Depthwise convolution through the FFT: two of the ways.

Through the FFT every value of a map has a part in every other: rounding is relative to the largest
value of the map, and a NaN or an infinity in it makes all of its output NaN.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .crossovers import Call


def fft_why_not(call: Call) -> str | None:
    if call.dtype not in (torch.float32, torch.float64):
        return f"the FFT has no {call.dtype}"
    return None


def values_by_fft(
    x: Tensor, kernel: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
) -> Tensor:
    sizes = zip(x.shape[2:], kernel.shape[2:], padding, strict=True)
    count = [size + 2 * p - s + 1 for size, s, p in sizes]
    length = transform_length(x, padding, count)
    kernel_spectrum = spectrum(kernel[:, 0], length).conj()
    y = x.new_empty(len(x), x.shape[1], *count).contiguous(memory_format=torch.channels_last)
    for sample, out in zip(x, y, strict=True):
        out.copy_(correlation(spectrum(sample, length, padding) * kernel_spectrum, length, count))
    y = y[:, :, :: stride[0], :: stride[1]]
    y = y if bias is None else y + bias[:, None, None]
    return y.contiguous(memory_format=torch.channels_last)


def kernel_gradient_by_fft(
    grad: Tensor, x: Tensor, kernel_size: list[int], padding: list[int]
) -> Tensor:
    length = transform_length(x, padding, kernel_size)
    products = sum(
        spectrum(sample, length, padding) * spectrum(one, length).conj()
        for sample, one in zip(x, grad, strict=True)
    )
    return correlation(products, length, kernel_size).to(x.dtype).unsqueeze(1)


def transform_length(x: Tensor, padding: list[int], count: list[int]) -> list[int]:
    """The least lengths at which what wraps round stays out of the first `count` cells."""
    sizes = zip(x.shape[2:], padding, count, strict=True)
    return [fast_length(max(size + p, out)) for size, p, out in sizes]


def fast_length(least: int) -> int:
    """The least multiple of 4 that is not below `least` and has no prime factor above 5."""
    length = -(-least // 4) * 4
    rest = length
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    return length if rest == 1 else fast_length(length + 1)


# Axis by axis, the FFT passes over what is known to be zero or not asked for.
def spectrum(maps: Tensor, length: list[int], before: Sequence[int] = (0, 0)) -> Tensor:
    """Of (C, H, W), with `before` zeros before the first row and column."""
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    maps = F.pad(maps, (before[1], 0, before[0], 0)).contiguous()
    return torch.fft.fft(torch.fft.rfft(maps, n=length[1]), n=length[0], dim=-2)


def correlation(products: Tensor, length: list[int], count: list[int]) -> Tensor:
    rows = torch.fft.ifft(products, dim=-2)[..., : count[0], :]
    return torch.fft.irfft(rows, n=length[1])[..., : count[1]]
