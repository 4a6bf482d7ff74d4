"""Figures and pictures of positions in TensorBoard and in Weights & Biases without a network.

Either package is optional: its test is skipped where it is not installed.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.runner import Runner

from helpers.training import training

TAG = "positions/backbone.stages.{}/{}"
BLOCK, HEADER = 2**15, 7  # of LevelDB's log format, in which W&B keeps a run that is offline


def trained(work_dir: Path, **backend: object) -> tuple[Path, dict[int, dict[str, float]], list]:
    """The folder of what the backend wrote, and the figures and pictures that it was given."""
    health = dict(type="mmdcls.PositionHealth", interval=2, picture_interval=4)
    runner = Runner.from_cfg(training(work_dir, [health], {"visualizer.vis_backends": [backend]}))
    scalars, pictures = {}, []
    given_scalars, given_image = runner.visualizer.add_scalars, runner.visualizer.add_image

    def add_scalars(values: dict, step: int, **others: object) -> None:
        scalars.setdefault(step, {}).update({k: v for k, v in values.items() if "/" in k})
        given_scalars(values, step, **others)

    def add_image(name: str, image: np.ndarray, step: int) -> None:
        pictures.append(image)
        given_image(name, image, step)

    runner.visualizer.add_scalars, runner.visualizer.add_image = add_scalars, add_image
    runner.train()
    runner.visualizer.close()
    assert TAG.format(3, "movement") in scalars[4]
    return Path(runner.log_dir, "vis_data"), {s: v for s, v in scalars.items() if v}, pictures


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, scalars, [picture] = trained(tmp_path, type="TensorboardVisBackend")
    events = EventAccumulator(str(folder)).Reload()
    assert list(scalars) == [2, 4]
    for name, value in scalars[4].items():
        assert [event.step for event in events.Scalars(name)] == [2, 4]
        assert events.Scalars(name)[-1].value == pytest.approx(value)
    [written] = events.Images("positions")
    encoded = np.frombuffer(written.encoded_image_string, np.uint8)
    assert written.step == 4
    np.testing.assert_array_equal(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1], picture)


def test_weights_and_biases_offline(tmp_path, monkeypatch):
    """W&B counts what it is given; `step_metric` gives each figure the iteration."""
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    by_iteration = [dict(name="*", step_metric="iter")]
    folder, scalars, [picture] = trained(
        tmp_path, type="WandbVisBackend", define_metric_cfg=by_iteration
    )
    [run] = folder.rglob("run-*.wandb")
    history = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in entry}
        for record in records(run.read_bytes())
        if (entry := wandb_internal_pb2.Record.FromString(record).history.item)
    ]
    found = [entry for entry in history if TAG.format(3, "movement") in entry]
    assert [entry["iter"] for entry in found] == list(scalars) == [2, 4]
    for entry, values in zip(found, scalars.values(), strict=True):
        assert {name: entry[name] for name in values} == pytest.approx(values)
    [written] = folder.rglob("positions_*.png")
    np.testing.assert_array_equal(cv2.imread(str(written))[..., ::-1], picture)


def records(log: bytes) -> Iterator[bytes]:
    """Of a LevelDB log behind a header: a record is one part (1), or a first (2) to a last (4)."""
    offset, record = HEADER, b""
    while offset < len(log):
        if BLOCK - offset % BLOCK < HEADER:
            offset += BLOCK - offset % BLOCK
        _, size, part = struct.unpack_from("<IHB", log, offset)
        offset += HEADER
        record += log[offset : offset + size]
        offset += size
        if part in (1, 4):
            yield record
            record = b""
