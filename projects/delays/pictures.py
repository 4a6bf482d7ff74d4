"""The picture of task 1: a clip before and behind its delays, and all delays beside the truth."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmdcls.study.records import Record

from .delays.polychrony import CHANNELS, CLASSES, LATEST, STEPS, clips_of, offsets_of, recovered

DPI = 110


def draw_delays(record: Record, path: Path) -> None:
    """record: of a cell of task 1 with learned delays."""
    draw(np.array(record["table_of_delays"]), record["seed"], path)


def draw(delays: np.ndarray, seed: int, path: Path) -> None:
    """delays: (classes, channels), in steps; seed: of the task."""
    offsets = offsets_of(seed)
    rasters, labels = clips_of("test", seed)
    clip = int(np.flatnonzero(labels == 0)[0])
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    before, after, truth = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
    channel, time = rasters[clip].nonzero()
    for axes, by, title in (
        (before, np.zeros_like(delays[0]), "a clip of class 0"),
        (after, delays[0], "behind the delays of class 0"),
    ):
        axes.scatter(time + by[channel], channel, s=8, color="black")
        axes.set(xlim=(-1, STEPS + LATEST + 4), xlabel="step", title=title)
        axes.set_yticks(range(0, CHANNELS, 5))
    before.set_ylabel("channel")
    # True delays are known up to a shift of all channels of a class.
    arrival = np.median(delays + offsets, 1, keepdims=True)
    for index in range(CLASSES):
        truth.scatter(arrival[index] - offsets[index], delays[index], s=8, color=f"C{index}")
    ends = [0, delays.max()]
    truth.plot(ends, ends, color="grey", linewidth=0.8, zorder=0)
    share = 100 * recovered(delays, offsets)
    truth.set(xlabel="true delay, steps", ylabel="learned delay, steps")
    truth.set_title(f"{delays.size} delays, {share:.0f} % true to a step")
    figure.savefig(path, dpi=DPI)
