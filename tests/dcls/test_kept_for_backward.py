"""How much memory a layer keeps between the passes, as on a GPU whose construction is fused."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from helpers.cases import autocast
from mmdcls.dcls import Dcls2d, construction

CHANNELS, SIZE = 8, (19, 21)
each_interpolation = pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])


@pytest.fixture(autouse=True)
def fused(monkeypatch) -> None:
    """Kernels are built by the operators for GPUs; nothing is computed."""
    monkeypatch.setattr(construction, "known_why_not", lambda device: None)
    with FakeTensorMode():
        yield


def layer_of(interpolation: str) -> Dcls2d:
    options = dict(padding=8, groups=CHANNELS, kernel_count=9, interpolation=interpolation)
    return Dcls2d(CHANNELS, CHANNELS, 17, **options)


def kept_by(module: nn.Module, batch: int, dtype: torch.dtype = torch.float32) -> int:
    """Bytes of all that the forward pass keeps for the backward pass."""
    storages = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage.nbytes()
        # Held, so that no other storage takes its place.
        return tensor

    x = torch.randn(batch, CHANNELS, *SIZE).contiguous(memory_format=torch.channels_last)
    cast = autocast(dtype) if dtype != torch.float32 else nullcontext()
    with saved_tensors_hooks(pack, lambda tensor: tensor), cast:
        y = module(x.requires_grad_())
    assert y.dtype == dtype
    return sum(storages.values())


def nbytes(*tensors: torch.Tensor) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


@each_interpolation
def test_a_layer_keeps_the_map_its_elements_their_shares_and_one_kernel(interpolation):
    layer = layer_of(interpolation)
    elements = [p for name, p in layer.named_parameters() if name != "bias"]
    x = torch.randn(2, CHANNELS, *SIZE)
    assert kept_by(layer, 2) == nbytes(x, *elements, *layer.shares(), layer.kernel())


@each_interpolation
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_it_keeps_beside_the_plain_convolution_does_not_grow_with_the_maps(
    interpolation, dtype
):
    layer = layer_of(interpolation)
    plain = nn.Conv2d(CHANNELS, CHANNELS, 17, padding=8, groups=CHANNELS)
    beside = [kept_by(layer, batch, dtype) - kept_by(plain, batch, dtype) for batch in (2, 32)]
    assert beside[0] == beside[1] > 0
