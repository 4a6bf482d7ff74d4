"""Which functions a network can draw as a kernel: those of the CKConv paper's demonstration."""

import time
from collections.abc import Callable

import torch
from mmengine.runner import set_random_seed
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from mmdcls.study.cells import Cell, config_of, key_of
from mmdcls.study.records import Record
from mmdcls.study.surroundings import commit, device_name, versions

from .kernel_makers import Magnet, Siren


def step(x: Tensor) -> Tensor:
    return (x > 0).to(x) - 0.5


def sawtooth(x: Tensor) -> Tensor:
    return 2 * (2.5 * x - torch.floor(2.5 * x)) - 1


def gaussian(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * (x / 0.15) ** 2)


def chirp(x: Tensor) -> Tensor:
    """From no oscillation to one in 8 cells of 101."""
    return torch.sin(torch.pi * 3 * (x + 1) ** 2)


def noise(x: Tensor) -> Tensor:
    """The same for all makers under one seed."""
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(torch.initial_seed()))


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = dict(
    gaussian=gaussian, step=step, sawtooth=sawtooth, chirp=chirp, noise=noise
)


def plain(activation: type[nn.Module], hidden: int) -> nn.Sequential:
    """The same layers as of `Siren`, with another function, as torch draws their weights."""
    sizes = [(1, hidden), (hidden, hidden), (hidden, 1)]
    first, second, last = (weight_norm(nn.Linear(*size)) for size in sizes)
    return nn.Sequential(first, activation(), second, activation(), last)


# Of a width: a network from places (n, 1) to values (n, 1).
MAKERS: dict[str, Callable[[int], nn.Module]] = dict(
    relu=lambda hidden: plain(nn.ReLU, hidden),
    leaky_relu=lambda hidden: plain(nn.LeakyReLU, hidden),
    swish=lambda hidden: plain(nn.SiLU, hidden),
    sine=lambda hidden: Siren(1, 1, hidden, omega_0=30.0),
    gabor=lambda hidden: Magnet(1, 1, hidden, omega_0=25.6),
)


def fit_cell(cell: Cell) -> Record:
    """Its figure is the root of the mean squared error, over the function's deviation, in percent.

    There is nothing to choose from and nothing to hold back: the figure is of the fitted cells.
    """
    started = time.monotonic()
    cfg = config_of(cell)
    set_random_seed(cell.seed)
    places = torch.linspace(-1, 1, cfg.train_dataloader.cells)[:, None]
    truth = FUNCTIONS[cfg.train_dataloader.function](places)
    network = MAKERS[cfg.model.maker](cfg.model.hidden)
    optimizer = torch.optim.Adam(network.parameters(), cfg.optim_wrapper.optimizer.lr)
    for _ in range(cfg.train_cfg.max_iters):
        optimizer.zero_grad()
        loss = (network(places) - truth).square().mean()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = (network(places) - truth).square().mean().sqrt() / truth.std()
    return dict(
        key=key_of(cell),
        config=cell.config.name,
        validation=dict(error=100 * error.item()),
        test={},
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        steps=cfg.train_cfg.max_iters,
        seconds=time.monotonic() - started,
        device=device_name(),
        versions=versions(),
        commit=commit(),
    )
