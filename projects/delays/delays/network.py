"""The network of learned delays (arXiv 2306.17670), and what it is compared with."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmdcls.dcls import Dcls1d, position_owners, step

from .neurons import fire, integrate
from .registry import MODELS

KINDS = ("learned", "fixed", "none")
RECURRENT = (None, "dense", *KINDS[:2])
# Scores (N, classes) of potentials (N, classes, T): as published, and the highest of each.
READOUTS: dict[str, Callable[[Tensor], Tensor]] = dict(
    sum_of_softmax=lambda potentials: potentials.softmax(1).sum(-1),
    highest=lambda potentials: potentials.amax(-1),
)


@MODELS.register_module()
class DelayNetwork(BaseModel):
    """Layers of delayed synapses and leaky neurons: rasters (N, channels, T) to classes.

    Hidden layers fire, behind BatchNorm, with dropout of whole spike trains; the last integrates.
    Every layer with delays makes the sequence longer by half a kernel, so that late spikes arrive.

    hidden: neurons of the hidden layers, which may be none.
    kernel_size: one more than the longest delay, in steps.
    delays: "learned"; "fixed", drawn at random, whole and never moved; or "none".
    tau: of all neurons, in steps; 1.005 is no memory.
    readout: a row of READOUTS.
    recurrent: what hidden neurons get of each other: None; "dense", the step before; "learned" or
        "fixed", after a delay that each neuron's axon has, 1 to recurrent_size steps.
    initial_weight: of all synapses; None draws them as for rectifiers.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        hidden: Sequence[int],
        kernel_size: int,
        delays: str = "learned",
        tau: float = 1.005,
        readout: str = "sum_of_softmax",
        recurrent: str | None = None,
        recurrent_size: int = 15,
        dropout: float = 0.0,
        initial_weight: float | None = None,
        interpolation: str = "gaussian",
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        for name, value, allowed in (
            ("delays", delays, KINDS),
            ("recurrent", recurrent, RECURRENT),
            ("readout", readout, READOUTS),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r} must be one of {', '.join(map(str, allowed))}")
        self.tau, self.readout, self.dropout = tau, readout, dropout
        widths = [channels, *hidden, classes]
        self.synapses = nn.ModuleList(
            synapses_of(delays, *pair, kernel_size, interpolation)
            for pair in zip(widths, widths[1:], strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in hidden)
        self.recurrences = nn.ModuleList(
            Recurrence(recurrent, width, recurrent_size) for width in hidden if recurrent
        )
        self.after = 0 if delays == "none" else (kernel_size - 1) // 2
        for layer in self.synapses:
            if initial_weight is None:
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            else:
                nn.init.constant_(layer.weight, initial_weight)
        # Of the last forward pass, by hidden layer: spikes per neuron and step.
        self.rates: list[float] = []

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        scores = READOUTS[self.readout](self.potentials(inputs))
        if mode == "loss":
            return dict(loss=F.cross_entropy(scores, labels))
        if mode == "predict":
            return [dict(scores=scores, labels=labels)]
        return scores

    def potentials(self, rasters: Tensor) -> Tensor:
        """(N, channels, T) to (N, classes, T and half a kernel for every layer)."""
        x = rasters.float()
        self.rates = []
        for index, norm in enumerate(self.norms):
            currents = norm(self.synapses[index](F.pad(x, (0, self.after))))
            recurrence = self.recurrences[index].begin() if len(self.recurrences) else None
            x = fire(currents, self.tau, recurrence)
            self.rates.append(x.detach().mean().item())
            # One mask for the whole of a spike train.
            x = F.dropout1d(x, self.dropout, self.training)
        return integrate(self.synapses[-1](F.pad(x, (0, self.after))), self.tau)


class Recurrence(nn.Module):
    """Weights from every neuron of a layer to every other, behind a delay of its axon."""

    def __init__(self, kind: str, width: int, size: int) -> None:
        super().__init__()
        self.axons = None
        if kind != "dense":
            self.axons = synapses_of(kind, width, width, size, "gaussian", groups=width)
            nn.init.ones_(self.axons.weight)
            self.axons.weight.requires_grad_(False)
        self.weights = nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(self.weights.weight)

    def begin(self) -> Callable[[Tensor], Tensor]:
        """What the spikes of a step add to the next, for a new sequence."""
        if self.axons is None:
            return self.weights
        kernel, past = self.axons.kernel(), None

        def recur(spikes: Tensor) -> Tensor:
            nonlocal past
            delayed, past = step(self.axons, spikes, past, kernel)
            return self.weights(delayed)

        return recur


def synapses_of(
    kind: str, channels: int, out: int, size: int, interpolation: str, groups: int = 1
) -> nn.Module:
    if kind == "none":
        return nn.Conv1d(channels, out, 1, bias=False)
    layer = Dcls1d(
        channels,
        out,
        size,
        padding="causal",
        groups=groups,
        bias=False,
        kernel_count=1,
        interpolation=interpolation,
        initial_spread="uniform",
    )
    if kind == "fixed":
        layer.on_cells = True
        for parameter in (layer.positions, layer.sigma):
            if parameter is not None:
                parameter.requires_grad_(False)
    return layer


def learnable(model: nn.Module) -> int:
    """How many numbers training decides: without sigma, which a schedule sets."""
    widths = {id(owner.sigma) for owner in position_owners(model).values()}
    return sum(
        parameter.numel()
        for parameter in model.parameters()
        if parameter.requires_grad and id(parameter) not in widths
    )
