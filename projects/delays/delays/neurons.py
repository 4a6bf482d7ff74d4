"""Leaky integrate-and-fire neurons, step by step."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Of the arctangent's slope in place of the step's, as published (arXiv 2306.17670).
ALPHA = 5.0


class Spike(torch.autograd.Function):
    """Whether the potential reaches 1; backward as of an arctangent around it."""

    @staticmethod
    def forward(ctx, potential: Tensor) -> Tensor:
        ctx.save_for_backward(potential)
        return (potential >= 1).to(potential)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (potential,) = ctx.saved_tensors
        return ALPHA / 2 / (1 + (math.pi / 2 * ALPHA * (potential - 1)).square()) * grad


def fire(
    currents: Tensor, tau: float, recurrence: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Spikes (N, C, T) of neurons that are fed with currents (N, C, T).

    A potential keeps 1 - 1/tau of itself a step, and is 0 after a spike, through which no gradient
    goes back. recurrence: the currents (N, C) that the spikes (N, C) of a step add to the next.
    """
    potential = spikes = torch.zeros_like(currents[..., 0])
    train = []
    for current in currents.unbind(-1):
        if recurrence is not None:
            current = current + recurrence(spikes)
        potential = potential - potential / tau + current
        spikes = Spike.apply(potential)
        potential = potential * (1 - spikes.detach())
        train.append(spikes)
    return torch.stack(train, -1)


def integrate(currents: Tensor, tau: float) -> Tensor:
    """Potentials (N, C, T) of neurons that leak and never fire."""
    potential = torch.zeros_like(currents[..., 0])
    potentials = []
    for current in currents.unbind(-1):
        potential = potential * (1 - 1 / tau) + current
        potentials.append(potential)
    return torch.stack(potentials, -1)
