"""Small networks whose delays have a known truth: a recurrent one, and one on graphs.

Mackey-Glass: x' = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x, sampled once a unit. A network of
x(t) and one delayed x foretells the next, from what it has foretold itself. Of a step that is one
unit long, the true delay lies between tau - 1 and tau.

Hops: a grid of nodes of which some edges are cut, with features of 1 and -1. A node's class is the
sign of the mean feature exactly so many hops away; a kernel over hops finds out how many.
"""

import time
from statistics import fmean

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.runner import set_random_seed
from torch import Tensor, nn

from mmdcls.dcls import Dcls1d, clamp_model_, position_limits, rounded, step
from mmdcls.study.cells import Cell, config_of, key_of
from mmdcls.study.records import Record
from mmdcls.study.surroundings import commit, device_name, versions

# How far ahead, in units of time.
HORIZONS = (16, 50, 84)
# Samples of the series: for training, and after them for testing.
TRAINED, TESTED = 2000, 1000


def train_truth(cell: Cell) -> Record:
    started = time.monotonic()
    cfg = config_of(cell)
    set_random_seed(cell.seed)
    figures = foretell(cfg) if cell.data == "mackey_glass" else find_hops(cfg)
    return dict(
        key=key_of(cell),
        config=cell.config.name,
        validation={},
        **figures,
        steps=cfg.train_cfg.max_iters,
        seconds=time.monotonic() - started,
        device=device_name(),
        versions=versions(),
        commit=commit(),
    )


def delayed(cfg: ConfigDict, count: int = 1) -> Dcls1d:
    """One channel whose kernel has count elements; delays are "learned", "fixed" where they start,
    or a whole number."""
    layer = Dcls1d(
        1,
        1,
        cfg.kernel_size,
        padding="causal",
        bias=False,
        kernel_count=count,
        interpolation="gaussian",
        # One element anywhere, two in a half of the kernel each.
        initial_spread="jittered_grid",
    )
    nn.init.ones_(layer.weight)
    if cfg.delays != "learned":
        layer.positions.requires_grad_(False)
        layer.on_cells = True
    if isinstance(cfg.delays, int):
        layer.positions.fill_(position_limits(cfg.kernel_size)[1] - cfg.delays)
    layer.sigma.requires_grad_(False)
    return layer


def delays_of(layer: Dcls1d) -> list[float]:
    high = position_limits(layer.kernel_size[0])[1]
    return sorted((high - layer.positions[0]).flatten().tolist())


def fit(cfg: ConfigDict, layer: Dcls1d, others: list[nn.Parameter], loss_of) -> None:
    """Adam, a cosine for all rates, widths from a quarter of the kernel to half a step within half
    of the training."""
    groups = [dict(params=others, lr=cfg.optim_wrapper.lr)]
    if layer.positions.requires_grad:
        groups.append(dict(params=[layer.positions], lr=cfg.optim_wrapper.position_lr))
    optimizer = torch.optim.Adam(groups)
    steps = cfg.train_cfg.max_iters
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for index in range(steps):
        if layer.positions.requires_grad:
            progress = min(1.0, 2 * index / steps)
            quarter = layer.kernel_size[0] / 4
            with torch.no_grad():
                layer.sigma.fill_(quarter * (0.5 / quarter) ** progress - 0.27)
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()
        schedule.step()
        clamp_model_(layer)


def mackey_glass(tau: int, count: int, per_unit: int = 10) -> Tensor:
    """The series, by the classical Runge-Kutta method in a tenth of a unit."""
    lag, size = tau * per_unit, 1 / per_unit
    values = [1.2] * (lag + 1)
    for _ in range((count + 300) * per_unit):
        x, first, last = values[-1], values[-lag - 1], values[-lag]

        def slope(x: float, old: float) -> float:
            return 0.2 * old / (1 + old**10) - 0.1 * x

        middle = (first + last) / 2
        one = slope(x, first)
        two = slope(x + size / 2 * one, middle)
        three = slope(x + size / 2 * two, middle)
        four = slope(x + size * three, last)
        values.append(x + size / 6 * (one + 2 * two + 2 * three + four))
    # What the start was is forgotten after 300 units.
    return torch.tensor(values[-count * per_unit :: per_unit])


class Foreteller(nn.Module):
    def __init__(self, cfg: ConfigDict) -> None:
        super().__init__()
        self.layer = delayed(cfg)
        hidden = cfg.hidden
        self.change = nn.Sequential(
            nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()
        )
        self.change.append(nn.Linear(hidden, 1))

    def forward(self, seen: Tensor, steps: int) -> Tensor:
        """seen (N, kernel_size), the last of a series; returns the next (N, steps)."""
        kernel = self.layer.kernel()
        past, x = seen[:, None, :-1], seen[:, -1:]
        foretold = []
        for _ in range(steps):
            tap, past = step(self.layer, x, past, kernel)
            x = x + self.change(torch.cat((x, tap), 1))
            foretold.append(x)
        return torch.cat(foretold, 1)


def foretell(cfg: ConfigDict) -> dict:
    data, size = cfg.train_dataloader, cfg.model.kernel_size
    series = mackey_glass(data.tau, TRAINED + TESTED)
    series = (series - series.mean()) / series.std()
    model = Foreteller(cfg.model)
    start = delays_of(model.layer)
    windows = series[:TRAINED].unfold(0, size + data.steps, 1)

    def loss_of() -> Tensor:
        chosen = windows[torch.randint(len(windows), (data.batch_size,))]
        return F.mse_loss(model(chosen[:, :size], data.steps), chosen[:, size:])

    fit(cfg, model.layer, list(model.change.parameters()), loss_of)
    tests = series[TRAINED:].unfold(0, size + max(HORIZONS), 7)
    with torch.no_grad(), rounded(model):
        foretold = model(tests[:, :size], max(HORIZONS))
    error = (foretold - tests[:, size:]).square().mean(0).sqrt()
    return dict(
        test={f"error_{ahead}": error[ahead - 1].item() for ahead in HORIZONS},
        before=dict(delays=start),
        after=dict(delays=delays_of(model.layer)),
    )


def distances(side: int, cut: float) -> Tensor:
    """(nodes, nodes), in hops, of a grid without a share of its edges; -1 where no path is."""
    nodes = torch.arange(side * side).view(side, side)
    edges = torch.cat(
        [
            torch.stack((nodes[:, :-1].flatten(), nodes[:, 1:].flatten()), 1),
            torch.stack((nodes[:-1].flatten(), nodes[1:].flatten()), 1),
        ]
    )
    edges = edges[torch.rand(len(edges)) >= cut]
    near = torch.eye(side * side)
    near[edges[:, 0], edges[:, 1]] = near[edges[:, 1], edges[:, 0]] = 1
    hops = torch.full_like(near, -1, dtype=torch.int64)
    reached = torch.eye(side * side)
    for hop in range(side * side):
        fresh = (reached > 0) & (hops < 0)
        if not fresh.any():
            break
        hops[fresh] = hop
        reached = reached @ near
        reached = (reached > 0).float()
    return hops


def find_hops(cfg: ConfigDict) -> dict:
    data, size = cfg.train_dataloader, cfg.model.kernel_size
    hops = distances(data.side, data.cut)
    # (hops, nodes, nodes): the mean over nodes at a distance.
    rings = torch.stack([(hops == hop).float() for hop in range(size)])
    rings = rings / rings.sum(-1, keepdim=True).clamp(min=1)
    layer = delayed(cfg.model, len(data.hops))
    start = delays_of(layer)
    bias = nn.Parameter(torch.zeros(()))

    def clips(count: int) -> tuple[Tensor, Tensor]:
        features = torch.randint(2, (count, data.side**2)) * 2.0 - 1
        means = torch.einsum("hij,nj->nhi", rings, features)
        return means, means[:, data.hops].sum(1)

    def scores(means: Tensor) -> Tensor:
        # Cell j of the kernel is a distance of S - 1 - j.
        return torch.einsum("h,nhi->ni", layer.kernel()[0, 0].flip(0), means) + bias

    def loss_of() -> Tensor:
        means, truth = clips(data.batch_size)
        told = truth.abs() > 1e-6
        target = (truth > 0).float()
        return F.binary_cross_entropy_with_logits(scores(means)[told], target[told])

    fit(cfg, layer, [layer.weight, bias], loss_of)
    means, truth = clips(500)
    told = truth.abs() > 1e-6
    with torch.no_grad(), rounded(layer):
        right = (scores(means) > 0) == (truth > 0)
    return dict(
        test=dict(accuracy=100 * fmean(right[told].float().tolist())),
        before=dict(delays=start),
        after=dict(delays=delays_of(layer)),
    )
