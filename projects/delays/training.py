"""A cell of the study: `train_cell`, and what else is recorded of a network with delays."""

import torch
from mmengine.runner import Runner

from mmdcls.dcls import position_owners, whole_delays
from mmdcls.study.cells import Cell
from mmdcls.study.records import Record
from mmdcls.study.training import train_cell
from mmdcls.wrapping import unwrapped

from .delays.data import Polychrony
from .delays.network import DelayNetwork, learnable
from .delays.polychrony import offsets_of, recovered


def train_delays(cell: Cell) -> Record:
    """With a third entry, delays: how often each whole delay occurs, by owner; of task 1 all."""
    whole: dict[str, list] = {}

    def figures(runner: Runner) -> dict[str, float]:
        if runner.iter == 0:
            return {}
        model = unwrapped(runner.model)
        for name, layer in position_owners(model).items():
            whole[name] = whole_delays(layer)[..., 0].tolist()
        return figures_of(runner)

    record = train_cell(cell, figures)
    return {**record, "delays": {name: counts(delays) for name, delays in whole.items()}} | (
        dict(table_of_delays=whole["synapses.0"]) if cell.data == "polychrony" and whole else {}
    )


def counts(delays: list[list[int]]) -> list[int]:
    """How many synapses have a delay of 0, 1, ... steps."""
    return torch.tensor(delays).flatten().bincount().tolist()


@torch.no_grad()
def figures_of(runner: Runner) -> dict[str, float]:
    """unrounded: accuracy on the test part with delays as they were trained, in percent.
    rate: spikes per neuron and step of the hidden layers.
    at_ends: share of delays that are the shortest or the longest.
    recovered: of task 1, percent of true delays to one step.
    """
    model = unwrapped(runner.model).eval()
    assert isinstance(model, DelayNetwork)
    data = runner.test_dataloader.dataset
    batch = data.__getitems__(list(range(len(data))))
    scores = model(batch["inputs"])
    figures = dict(
        learnable=float(learnable(model)),
        unrounded=100 * (scores.argmax(1) == batch["labels"]).double().mean().item(),
    )
    if model.rates:
        figures["rate"] = sum(model.rates) / len(model.rates)
    layers = list(position_owners(model).values())
    if layers:
        ends = [
            (delays == 0) | (delays == layer.kernel_size[0] - 1)
            for layer in layers
            for delays in [whole_delays(layer)]
        ]
        figures["at_ends"] = torch.cat([end.flatten() for end in ends]).double().mean().item()
    if isinstance(data, Polychrony) and layers:
        offsets = offsets_of(runner.cfg.test_dataloader.dataset.seed)
        delays = whole_delays(layers[0])[..., 0].numpy()
        figures["recovered"] = 100 * recovered(delays, offsets)
    return figures
