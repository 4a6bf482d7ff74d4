"""A run that is resumed reads nothing of what it was trained on, and goes on with what follows."""

from collections.abc import Callable
from itertools import islice
from multiprocessing import Value
from pathlib import Path

import pytest
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import DefaultSampler, InfiniteSampler, pseudo_collate
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from mmengine.runner import loops
from torch.utils.data import DataLoader, IterableDataset, SequentialSampler

from helpers.training import RandomImages, training
from mmdcls.running.passing_over import pass_over
from mmdcls.running.runner import build_runner

SIZE, BATCH, AHEAD = 11, 2, 2


class Numbers(torch.utils.data.Dataset):
    """Its images are wide or high."""

    def __init__(self) -> None:
        self.read = Value("i", 0)

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> int:
        with self.read.get_lock():
            self.read.value += 1
        return index

    def get_data_info(self, index: int) -> dict:
        return dict(width=2 + index % 3, height=3)


def of_the_second_process(dataset: Numbers) -> InfiniteSampler:
    sampler = InfiniteSampler(dataset, seed=1)
    sampler.rank, sampler.world_size = 1, 2
    return sampler


def in_batches(sampler: Callable, **options) -> Callable[[Numbers], dict]:
    return lambda dataset: dict(batch_size=BATCH, sampler=sampler(dataset), **options)


def by_aspect_ratio(sampler: Callable) -> Callable[[Numbers], dict]:
    return lambda dataset: dict(batch_sampler=AspectRatioBatchSampler(sampler(dataset), BATCH))


LOADERS = {
    "infinite": in_batches(lambda dataset: InfiniteSampler(dataset, seed=1)),
    "infinite, in order": in_batches(lambda dataset: InfiniteSampler(dataset, shuffle=False)),
    "infinite, of the second process": in_batches(of_the_second_process),
    "epochs": in_batches(lambda dataset: DefaultSampler(dataset, seed=1)),
    "whole batches": in_batches(lambda dataset: DefaultSampler(dataset, seed=1), drop_last=True),
    "epochs of torch": in_batches(SequentialSampler),
    "by aspect ratio": by_aspect_ratio(lambda dataset: InfiniteSampler(dataset, seed=1)),
    "by aspect ratio, epochs": by_aspect_ratio(lambda dataset: DefaultSampler(dataset, seed=1)),
}


@pytest.fixture(autouse=True)
def awake(monkeypatch):
    """mmengine sleeps between epochs."""
    monkeypatch.setattr(loops.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize(("workers", "count"), [(0, 1), (0, 6), (0, 20), (2, 3), (2, 20)])
@pytest.mark.parametrize("options_for", LOADERS.values(), ids=LOADERS)
def test_what_follows_is_what_would_have_followed(options_for, count, workers):
    def batches() -> tuple[Numbers, loops._InfiniteDataloaderIterator]:
        dataset = Numbers()
        loader = DataLoader(
            dataset, num_workers=workers, collate_fn=pseudo_collate, **options_for(dataset)
        )
        return dataset, loops._InfiniteDataloaderIterator(loader)

    _, in_peace = batches()
    dataset, resumed = batches()
    pass_over(resumed, count)
    if workers == 0:
        assert dataset.read.value == 0
    # Workers begin with the first ones, and now with those that follow.
    assert dataset.read.value <= 2 * workers * AHEAD * BATCH
    expected = list(islice(in_peace, count, count + 12))
    assert list(islice(resumed, 12)) == expected


def test_a_stream_can_only_be_read(monkeypatch):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(20))

    said = []
    monkeypatch.setattr("mmdcls.running.passing_over.print_log", lambda text, *_: said.append(text))
    batches = loops._InfiniteDataloaderIterator(DataLoader(Stream(), BATCH))
    pass_over(batches, 3)
    assert next(batches).tolist() == [6, 7]
    (text,) = said
    assert "The 3 batches" in text and "are read once more" in text


@DATASETS.register_module()
class CountedImages(RandomImages):
    read = 0

    def __getitem__(self, index: int) -> dict:
        CountedImages.read += 1
        return super().__getitem__(index)


class Sees(Hook):
    def __init__(self) -> None:
        self.sums = []

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        self.sums.append([image.sum().item() for image in data_batch["inputs"]])


@pytest.mark.slow
@pytest.mark.parametrize("hooks", [[], [dict(type="mmdcls.ExactResume")]])
@pytest.mark.parametrize(
    ("runner_type", "workers"), [("Runner", 0), ("Runner", 1), ("FlexibleRunner", 0)]
)
def test_a_resumed_run_sees_what_is_left_and_reads_no_more(hooks, runner_type, workers, tmp_path):
    def train(folder: Path, iterations: int, resume: bool = False) -> list:
        loader = dict(num_workers=workers, dataset=dict(type="CountedImages"))
        cfg = training(folder, hooks, dict(train_dataloader=loader))
        cfg.train_cfg.max_iters = iterations
        cfg.resume = resume
        if runner_type != "Runner":
            cfg.runner_type, cfg.env_cfg = runner_type, {}
        CountedImages.read = 0
        runner, sees = build_runner(cfg), Sees()
        runner.register_hook(sees)
        runner.train()
        return sees.sums

    seen = train(tmp_path / "straight", 6)
    assert train(tmp_path / "resumed", 4) == seen[:4]
    assert train(tmp_path / "resumed", 6, resume=True) == seen[4:]
    assert CountedImages.read == (0 if workers else 2 * BATCH)
